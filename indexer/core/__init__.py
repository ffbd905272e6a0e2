"""The pure core: no await, no clock, no I/O, no logger."""
