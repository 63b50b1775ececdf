"""One set of series for all processes of a host: their totals in one file, and whose turn it is to push them."""
