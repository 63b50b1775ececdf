"""The embedded back end: receives pushes of metrics and logs, stores them, and shows them on one page."""
