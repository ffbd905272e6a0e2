"""`python -m dashboards`: writes every board to monitoring/grafana/dashboards."""

from __future__ import annotations

from pathlib import Path

from dashboards.boards import BOARDS
from dashboards.rendering import rendered

PLACE = Path(__file__).resolve().parents[1] / "monitoring" / "grafana" / "dashboards"


def main() -> None:
    """Write the boards, and remove what is no longer one."""
    PLACE.mkdir(parents=True, exist_ok=True)
    for old in PLACE.glob("*.json"):
        if old.name not in {board.file for board in BOARDS}:
            old.unlink()
    for board in BOARDS:
        (PLACE / board.file).write_text(rendered(board), encoding="utf-8")


if __name__ == "__main__":
    main()
