"""Frameworks, each given our client as `docs/frameworks.md` says, in an environment of its own: see `noxfile.py`."""
