"""Everything that happens on the caller's thread: a call from its start to its end."""
