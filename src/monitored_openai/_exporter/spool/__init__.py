"""The spool: log entries and totals on disk until the back end has them."""
