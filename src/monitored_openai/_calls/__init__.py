"""Observes calls on the caller's thread, from start to end, and builds their records."""
