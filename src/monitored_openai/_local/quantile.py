"""Estimates quantiles of histograms as PromQL does."""

from __future__ import annotations

import math
from collections.abc import Mapping


def histogram_quantile(share: float, buckets: Mapping[float, float]) -> float:
    """Return Prometheus's estimate: linear interpolation within a bucket; NaN for an empty histogram.

    `buckets` maps each upper bound, including infinity, to its cumulative count.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or not buckets[math.inf] > 0:
        return math.nan
    rank = share * buckets[math.inf]
    if not rank > 0:
        return math.nan
    at = next(number for number, bound in enumerate(bounds) if buckets[bound] >= rank)
    if bounds[at] == math.inf:
        return bounds[-2]
    lower, below = (bounds[at - 1], buckets[bounds[at - 1]]) if at else (0.0, 0.0)
    return lower + (bounds[at] - lower) * (rank - below) / (buckets[bounds[at]] - below)
