"""Whether any client of a handle lives: each client holds one token, which it shares with all others of the handle."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from monitored_openai._exporter.process import PROCESS


class Token:
    """Lives as long as any of the clients that hold it."""

    __slots__ = ("__weakref__",)


class Clients:
    """The living clients of one handle: a weak reference to their token, so that no client's end needs any code."""

    def __init__(self, returned: Callable[[], object]) -> None:
        """`returned` is called on the thread of the first client, and of each first one after all others are gone."""
        self._returned = returned
        self._token: Callable[[], Token | None] = lambda: None

    @property
    def any(self) -> bool:
        """Whether at least one client lives."""
        return self._token() is not None

    def token(self) -> Token:
        """The token, which a client must hold for as long as it can start calls."""
        token = self._token()
        return self._new_token() if token is None else token

    def _new_token(self) -> Token:
        with PROCESS.sharing:  # else two first clients at once would hold two tokens, of which only one is seen
            token = self._token()
            if token is not None:
                return token
            token = Token()
            self._token = weakref.ref(token)
        self._returned()
        return token
