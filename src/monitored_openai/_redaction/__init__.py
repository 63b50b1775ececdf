"""Removes secrets, media, personal data and matches of the user's patterns from texts."""
