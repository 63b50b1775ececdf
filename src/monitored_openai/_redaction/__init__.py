"""Redaction: secrets, media and the patterns of the user."""
