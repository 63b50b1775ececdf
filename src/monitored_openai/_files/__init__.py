"""Private files and SQLite databases, and the checks that this program made them."""
