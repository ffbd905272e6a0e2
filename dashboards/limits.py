"""Where green ends: the numbers at which the alerts of monitoring/alerts.yml begin to count."""

from __future__ import annotations

from dashboards.board import Limit

LAG = (Limit(50, "yellow"), Limit(100, "red"))
DELAY = (Limit(60, "yellow"), Limit(300, "red"))
STUCK = (Limit(60, "yellow"), Limit(120, "red"))
BACKFILL_STUCK = (Limit(300, "yellow"), Limit(600, "red"))
SILENT = (Limit(60, "yellow"), Limit(300, "red"))
#: HighErrorRate.
API_ERRORS = (Limit(0.01, "yellow"), Limit(0.05, "red"))
#: SlowAPIResponse.
API_SECONDS = (Limit(1, "yellow"), Limit(2, "red"))
#: HighContractFailureRate, ContractErrorRateHigh and …Critical.
CONTRACT_FAILURES = (Limit(0.10, "yellow"), Limit(0.15, "orange"), Limit(0.30, "red"))
#: What should not happen at all.
ANY = (Limit(1, "red"),)
ANY_IS_ODD = (Limit(1, "yellow"),)
#: Of what has to be there.
THERE = (Limit(1, "green"),)
BUSY = (Limit(0.80, "yellow"), Limit(0.90, "red"))
RATE_LIMITED = (Limit(0.05, "red"),)
BACKUP_AGE = (Limit(20 * 3600, "yellow"), Limit(25 * 3600, "red"))
CERTIFICATE = (Limit(7 * 86400, "orange"), Limit(30 * 86400, "green"))
CACHE_HITS = (Limit(0.80, "yellow"), Limit(0.90, "green"))
