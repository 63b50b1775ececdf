"""Computes the cost of a usage in USD."""
