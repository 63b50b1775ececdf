"""Quantiles of histograms, as PromQL estimates them."""

from __future__ import annotations

import math
from collections.abc import Mapping


def histogram_quantile(share: float, buckets: Mapping[float, float]) -> float:
    """Prometheus's estimate: linear within the bucket in which the value lies; NaN where nothing was counted.

    `buckets` has the cumulative count at each upper bound, infinity among them.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or not buckets[math.inf] > 0:
        return math.nan
    rank = share * buckets[math.inf]
    at = next(number for number, bound in enumerate(bounds) if buckets[bound] >= rank)
    if bounds[at] == math.inf:
        return bounds[-2]
    lower, below = (bounds[at - 1], buckets[bounds[at - 1]]) if at else (0.0, 0.0)
    return lower + (bounds[at] - lower) * (rank - below) / (buckets[bounds[at]] - below)
