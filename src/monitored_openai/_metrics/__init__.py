"""Converts call records to counters, histograms and gauges."""
