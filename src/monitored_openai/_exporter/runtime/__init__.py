"""The process, its exporter thread, fork, exit and SIGTERM."""
