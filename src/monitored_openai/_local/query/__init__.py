"""The queries of the commands `report`, `top` and `tail`, answered from the history."""
