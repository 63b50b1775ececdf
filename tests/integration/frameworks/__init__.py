"""Frameworks with our client, used as `docs/frameworks.md` shows, each in its own environment: see `noxfile.py`."""
