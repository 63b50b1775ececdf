"""Tracks whether a handle still has clients, by a weak reference to an object that all its clients hold."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from monitored_openai._exporter.runtime.process import PROCESS


class Token:
    """Lives as long as any of the clients that hold it."""

    __slots__ = ("__weakref__",)


class Clients:
    """The living clients of one handle, known by a weak reference to their token: no client has to report its end."""

    def __init__(self, on_client: Callable[[], object]) -> None:
        """`on_client` is called on a client's thread if no other client of the handle lives then."""
        self._on_client = on_client
        self._token: Callable[[], Token | None] = lambda: None

    @property
    def any(self) -> bool:
        """True if at least one client lives."""
        return self._token() is not None

    def token(self) -> Token:
        """Return the token, which a client must hold for as long as it can start calls."""
        token = self._token()
        return self._new_token() if token is None else token

    def _new_token(self) -> Token:
        # Otherwise two threads could each create a token, and only one of the two would count.
        with PROCESS.sharing:
            token = self._token()
            if token is not None:
                return token
            token = Token()
            self._token = weakref.ref(token)
        self._on_client()
        return token
