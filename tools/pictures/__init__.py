"""Draws the dashboards for the pictures of the docs, without Grafana."""
