"""A board's panels with the answers to their queries, as a page, and the page as a picture."""

from __future__ import annotations

import asyncio
import json
import math
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.fixtures.asked import Asked, asked, series, values
from tests.fixtures.watched import Watched
from tests.pictures.smaller import shrink

HERE = Path(__file__).parent
UPLOT = HERE.parents[1] / "node_modules" / "uplot" / "dist"
#: As page.js has them, in pixels.
COLUMN, ROW, HEADER = 46, 27, 44
WIDTH = 24 * COLUMN + 8
LABEL = re.compile(r"\{\{(\w+)\}\}")
PHOTOGRAPH_SECONDS = 120.0


async def data(stack: Watched, board: Any, start: float, end: float) -> dict[str, Any]:
    """What page.js draws."""
    shown = []
    for panel in board["panels"]:
        told: list[dict[str, Any]] = []
        if panel["type"] not in {"row", "text"}:
            for target, one in zip(panel["targets"], _own(board, panel), strict=True):
                found = await series(stack.session, stack.prometheus_url, one, start, end)
                told += [_line(each, target.get("legendFormat", "")) for each in found]
        shown.append(_panel(panel, told, values(board)))
    return {"title": board["title"], "question": board["description"], "end": end, "panels": shown}


def _own(board: Any, panel: Any) -> list[Asked]:
    """The queries of that panel alone: titles need not be unique."""
    return list(asked({**board, "panels": [panel]}))


def _line(found: Any, legend: str) -> dict[str, Any]:
    labels = {name: value for name, value in found["metric"].items() if name != "__name__"}
    name = LABEL.sub(lambda part: labels.get(part[1], ""), legend) or " ".join(labels.values())
    points = [
        [float(time), float(value) if math.isfinite(float(value)) else None]
        for time, value in found["values"]
    ]
    return {"name": name, "labels": labels, "values": points}


def _panel(panel: Any, told: list[dict[str, Any]], chosen: dict[str, str]) -> dict[str, Any]:
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    mappings = defaults.get("mappings", [])
    hidden = [
        name for change in panel.get("transformations", []) for name in change["options"]["excludeByName"]
    ]
    overrides = panel.get("fieldConfig", {}).get("overrides", [])
    units = [each["value"] for override in overrides for each in override["properties"]]
    text = panel.get("options", {}).get("content", "")
    return {
        "type": panel["type"],
        "title": panel["title"],
        "place": panel["gridPos"],
        "unit": units[0] if units else defaults.get("unit", "short"),
        "steps": defaults.get("thresholds", {}).get("steps", []),
        "meanings": {value: result["text"] for each in mappings for value, result in each["options"].items()},
        "stacked": defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal",
        "least": defaults.get("min"),
        "most": defaults.get("max"),
        "hidden": hidden,
        "text": re.sub(r"\$\{(\w+)\}", lambda found: chosen[found[1]], text),
        "series": told,
    }


def page(told: dict[str, Any]) -> str:
    """The page that draws it."""
    parts = {
        "UPLOT_CSS": (UPLOT / "uPlot.min.css").read_text(),
        "UPLOT_JS": (UPLOT / "uPlot.iife.min.js").read_text(),
        "DATA": json.dumps(told).replace("</", "<\\/"),
        "PAGE_JS": (HERE / "page.js").read_text(),
    }
    return re.sub(r"/\*([A-Z_]+)\*/", lambda found: parts[found[1]], (HERE / "page.html").read_text())


async def photograph(told: dict[str, Any], picture: Path) -> None:
    """Save the page as a picture.

    Raises: SystemExit where there is no chromium, or it takes no picture.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("chromium is missing; on Debian: apt-get install chromium")
    board: Any = told["panels"]
    height = HEADER + ROW * max(each["place"]["y"] + each["place"]["h"] for each in board)
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "page.html"
        source.write_text(page(told))
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
        process = await asyncio.create_subprocess_exec(
            *(chromium, *options, "--disable-background-networking", "--disable-sync"),
            *(f"--user-data-dir={place}/profile", f"--window-size={WIDTH},{height}"),
            *(f"--screenshot={picture}", source.as_uri()),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PHOTOGRAPH_SECONDS):
            _, said = await process.communicate()
    if process.returncode:
        raise SystemExit(f"chromium took no picture: {said.decode(errors='replace')[-500:]}")
    await asyncio.to_thread(shrink, picture)
