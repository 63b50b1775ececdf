"""Observes calls on the caller's thread, and builds their records on the exporter's thread."""
