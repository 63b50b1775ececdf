"""One set of series for all processes of a host: they keep their totals in one file and take turns to push them."""
