"""Private files and SQLite databases, and functions that check whether this program made them."""
