"""Embeddings: a record keeps the lengths of the vectors, not the vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from monitored_openai._endpoints.base import ParsedResponse, dictionary
from monitored_openai._endpoints.final_event import plain_endpoint
from monitored_openai._endpoints.parsing import parse_plain

_BYTES_OF_A_NUMBER = 4


def parse_embeddings(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse the body of a response with embeddings."""
    data = body.get("data")
    return dataclasses.replace(
        parse_plain(body),
        body={**body, "data": [_without_vector(entry) for entry in data]} if isinstance(data, list) else body,
    )


def _without_vector(entry: Any) -> Any:
    vector = dictionary(entry).get("embedding")
    if isinstance(vector, str):  # base64, which the SDK requests by default
        return {**entry, "embedding": f"[{len(vector.rstrip('=')) * 3 // 4 // _BYTES_OF_A_NUMBER} numbers]"}
    return {**entry, "embedding": f"[{len(vector)} numbers]"} if isinstance(vector, list) else entry


EMBEDDINGS = plain_endpoint("/embeddings", "embeddings", parse=parse_embeddings)
