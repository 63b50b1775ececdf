"""Commands that read Prometheus, Loki or the price table."""
