"""The part of the query APIs of Prometheus and Loki that the command `monitored-openai` uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monitored_openai._json import encode
from monitored_openai._local.history import History
from monitored_openai._local.query import logql, promql
from monitored_openai._local.remote_write_decoder import Oversized

VECTOR_PATH = "/api/v1/query"
MOST_QUERY_BYTES = 64 * 1024
MOST_RESULT_BYTES = 8 * 1024 * 1024
_MOST_ENTRIES = 5000
_MOST_NS = 2**63 - 1
_NO_TIME = "the time must be a number"


def _vector(history: History, parameters: Mapping[str, str]) -> bytes:
    """Return Prometheus's response to an instant query."""
    try:
        at = float(parameters["time"])
    except (KeyError, ValueError) as error:
        raise ValueError(_NO_TIME) from error
    values = promql.evaluate(history, parameters.get("query", ""), at)
    items, size = [], 0
    for labels, value in values.items():
        items.append(encode({"metric": dict(labels), "value": [at, str(value)]}))
        size += len(items[-1]) + 1
        if size > MOST_RESULT_BYTES:
            raise Oversized(f"the result has more than {MOST_RESULT_BYTES} bytes; sum by fewer labels")
    return _success("vector", items)


def _streams(history: History, parameters: Mapping[str, str]) -> bytes:
    """Return Loki's response to a range query.

    If the entries have too many bytes, a query for the newest returns only those that fit. A query in time order fails
    instead, because a client that reads pages takes a short page for the last one.

    Raises:
        Oversized: the client must ask for fewer entries.
    """
    limit = min(_number(parameters, "limit"), _MOST_ENTRIES)
    query = logql.LogQuery.of(parameters.get("query", ""))
    newest = parameters.get("direction") != "forward"
    found = logql.entries(history, query, _number(parameters, "start"), _number(parameters, "end"), newest=newest)
    values, size = [], 0
    for at, line in found if limit else ():
        value = encode([str(at), line])
        size += len(value) + 1
        if size > MOST_RESULT_BYTES:
            if not newest:
                raise Oversized(f"the entries have more than {MOST_RESULT_BYTES} bytes; ask for fewer")
            break
        values.append(value)
        if len(values) == limit:
            break
    return _success("streams", [b'{"stream":{},"values":[%b]}' % b",".join(values)] if values else [])


def _count(history: History, parameters: Mapping[str, str]) -> bytes:
    """Return Loki's response to an instant query for a count."""
    query, range_ns = logql.counted(parameters.get("query", ""))
    end = _number(parameters, "time") + 1
    number = sum(1 for _ in logql.entries(history, query, max(end - range_ns, 0), end, newest=False))
    value = {"metric": {}, "value": [(end - 1) / 1e9, str(number)]}
    return _success("vector", [encode(value)] if number else [])


PATHS: Mapping[str, Callable[[History, Mapping[str, str]], bytes]] = {
    VECTOR_PATH: _vector,
    "/loki/api/v1/query_range": _streams,
    "/loki/api/v1/query": _count,
}
"""The function for each path; it raises `ValueError` for an unsupported query, `Oversized` for a result that is too large."""


def _number(parameters: Mapping[str, str], name: str) -> int:
    text = parameters.get(name, "")
    if not text.isascii() or not text.isdecimal() or len(text) > 19:
        raise ValueError(f"{name} must be a whole number")
    return min(int(text), _MOST_NS - 1)


def _success(kind: str, items: list[bytes]) -> bytes:
    """Return a response with these items; they are JSON already, so memory holds a large result only once."""
    return b'{"status":"success","data":{"resultType":"%b","result":[%b]}}' % (kind.encode(), b",".join(items))
