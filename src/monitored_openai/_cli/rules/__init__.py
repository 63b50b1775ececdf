"""Recording rules and alerts, from one source for Prometheus and for Grafana."""
