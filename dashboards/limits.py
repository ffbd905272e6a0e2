"""Where green ends: what is red here, or orange, is where an alert of monitoring/alerts.yml begins to count."""

from __future__ import annotations

from dashboards.board import Limit

LAG = (Limit(50, "yellow"), Limit(100, "red"))
DELAY = (Limit(60, "yellow"), Limit(300, "red"))
STUCK = (Limit(60, "yellow"), Limit(120, "red"))
BACKFILL_STUCK = (Limit(300, "yellow"), Limit(600, "red"))
HEAD_READ = (Limit(30, "yellow"), Limit(60, "red"))
HEAD_CHANGED = (Limit(60, "yellow"), Limit(300, "red"))
API_ERRORS = (Limit(0.01, "yellow"), Limit(0.05, "red"))
API_SECONDS = (Limit(1, "yellow"), Limit(2, "red"))
CONTRACT_FAILURES = (Limit(0.10, "yellow"), Limit(0.15, "orange"), Limit(0.30, "red"))
RATE_LIMITED = (Limit(0.05, "red"),)
HEADS_APART = (Limit(5, "yellow"), Limit(50, "red"))
CONNECTIONS = (Limit(0.80, "orange"), Limit(0.95, "red"))
CPU = (Limit(0.80, "orange"), Limit(0.95, "red"))
MEMORY = (Limit(0.85, "orange"), Limit(0.95, "red"))
#: Share in use: the alerts count what is free.
DISK = (Limit(0.85, "orange"), Limit(0.95, "red"))
CONTAINER_MEMORY = (Limit(0.90, "red"),)
TRANSACTION_SECONDS = (Limit(300, "yellow"), Limit(900, "red"))
BACKUP_AGE = (Limit(25 * 3600, "yellow"), Limit(26 * 3600, "red"))
VERIFIED_AGE = (Limit(7 * 86400, "yellow"), Limit(8 * 86400, "red"))
#: Of what is left, below which it is red and orange.
CERTIFICATE = (Limit(3 * 86400, "orange"), Limit(14 * 86400, "green"))
DATABASE_HITS = (Limit(0.80, "yellow"), Limit(0.95, "green"))
#: What should not happen at all.
ANY = (Limit(1, "red"),)
ANY_IS_ODD = (Limit(1, "yellow"),)
#: Of what has to be there.
THERE = (Limit(1, "green"),)
