"""Evaluates the queries of the commands `report`, `top` and `tail` on the history."""
