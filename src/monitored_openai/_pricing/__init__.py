"""Prices: usage to a cost in US dollars."""
