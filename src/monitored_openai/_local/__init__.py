"""The embedded back end: takes what is pushed to Prometheus and Loki, keeps it, and shows it on one page."""
