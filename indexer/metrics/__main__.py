"""Print the documentation of the metrics: `python -m indexer.metrics > docs/metrics.md`."""

import sys

from indexer.metrics.page import page

sys.stdout.write(page())
