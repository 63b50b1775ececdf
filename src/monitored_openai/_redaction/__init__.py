"""Removes secrets, media and matches of the user's patterns from texts."""
