"""Carries the journal to Logstash as well: a copy of each line, which may be lost but never holds anything up.

Who writes a line puts it into a bounded queue and goes on; a thread of its own takes it from there to Logstash. While
Logstash is away, slow or silent the queue fills, and what does not fit is counted and dropped: standard error has it
all the same.
"""

from indexer.shipping.backlog import DROPS, Backlog, Room
from indexer.shipping.sender import Pace, Sender
from indexer.shipping.shipped import ShippedLines, ship, stop_shipping

__all__ = ["DROPS", "Backlog", "Pace", "Room", "Sender", "ShippedLines", "ship", "stop_shipping"]
