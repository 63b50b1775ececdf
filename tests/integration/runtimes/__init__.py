"""Servers, workers and event loops of other projects, with their own sessions in `noxfile.py`."""
