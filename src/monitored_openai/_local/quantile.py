"""Estimates quantiles of histograms as PromQL does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate


def histogram_quantile(share: float, buckets: Mapping[float, float]) -> float:
    """Return Prometheus's estimate: linear interpolation within a bucket; NaN for an empty histogram.

    `buckets` maps each upper bound, including infinity, to its cumulative count. A count below that of a smaller bound,
    from processes with different bounds, counts as equal to it.
    """
    bounds = sorted(buckets)
    counts = dict(zip(bounds, accumulate((buckets[bound] for bound in bounds), max), strict=True))
    if len(bounds) < 2 or not counts[math.inf] > 0:
        return math.nan
    rank = share * counts[math.inf]
    if not rank > 0:
        return math.nan
    at = next(number for number, bound in enumerate(bounds) if counts[bound] >= rank)
    if bounds[at] == math.inf:
        return bounds[-2]
    lower, below = (bounds[at - 1], counts[bounds[at - 1]]) if at else (0.0, 0.0)
    return lower + (bounds[at] - lower) * (rank - below) / (counts[bounds[at]] - below)
