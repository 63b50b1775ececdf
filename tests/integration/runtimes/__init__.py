"""Servers, workers and loops that others have made, for which `noxfile.py` has a session of its own."""
