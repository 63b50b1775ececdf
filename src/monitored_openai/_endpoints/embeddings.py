"""Embeddings: how their bodies are read. The vectors themselves are not kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai import BaseModel

from monitored_openai._endpoints.base import Endpoint, ParsedResponse, count, dictionary, text
from monitored_openai._endpoints.final_event import Events
from monitored_openai._endpoints.reading import why_unknown
from monitored_openai._record import Usage

_BYTES_OF_A_NUMBER = 4


def read_embeddings(body: Mapping[str, Any]) -> ParsedResponse:
    """Read the body of an answer with embeddings."""
    tokens = count(dictionary(body.get("usage")).get("prompt_tokens"))
    usage = None if tokens is None else Usage(input_tokens=tokens)
    data = body.get("data")
    return ParsedResponse(
        model=text(body.get("model")),
        id=text(body.get("id")),
        usage=usage,
        usage_unknown=why_unknown(usage, body.get("usage")),
        body={**body, "data": [_without_vector(entry) for entry in data]} if isinstance(data, list) else body,
    )


def _without_vector(entry: Any) -> Any:
    vector = dictionary(entry).get("embedding")
    if isinstance(vector, str):  # the numbers in base64, as the SDK asks for them
        return {**entry, "embedding": f"[{len(vector.rstrip('=')) * 3 // 4 // _BYTES_OF_A_NUMBER} numbers]"}
    return {**entry, "embedding": f"[{len(vector)} numbers]"} if isinstance(vector, list) else entry


EMBEDDINGS = Endpoint(
    path="/embeddings", operation="embeddings", answer=read_embeddings, chunks=Events, chunk_type=BaseModel
)
