"""A real headless Chromium, controlled through DevTools' pipe without a library between Python and the browser."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
NAMES = ("chromium-headless-shell", "chromium", "google-chrome", "chromium-browser", "chrome")
_PATIENCE = 60.0
_LOWEST_DESCRIPTOR = 10
_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-breakpad", "--disable-sync"),
    *("--force-color-profile=srgb", "--font-render-hinting=none", "--remote-debugging-pipe"),
)


def program() -> Path | None:
    """The Chromium to use: the one named in MONITORED_OPENAI_CHROMIUM, that of scripts/install-chromium, any on PATH."""
    named = os.environ.get("MONITORED_OPENAI_CHROMIUM")
    candidates = [named, str(ROOT / ".cache" / "chromium" / "chromium"), *map(shutil.which, NAMES)]
    return next((Path(one) for one in candidates if one and Path(one).is_file()), None)


class Chromium:
    """The browser's process; each `Tab` is a window of its own."""

    def __init__(self, path: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        mine, its = os.pipe(), os.pipe()
        read, write = (
            fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _LOWEST_DESCRIPTOR) for end in (its[0], mine[1])
        )  # so that neither is 3 or 4, which are to become them
        self._out, self._in = its[1], mine[0]
        null = os.open(os.devnull, os.O_RDWR)
        try:
            self._pid = os.posix_spawn(
                path,
                [str(path), *_ARGUMENTS, f"--user-data-dir={self._folder.name}", "about:blank"],
                {**os.environ, "HOME": self._folder.name},
                file_actions=[(os.POSIX_SPAWN_DUP2, one, at) for at, one in enumerate((null, null, null, read, write))],
                setpgroup=0,
            )
        finally:
            for end in (null, read, write, its[0], mine[1]):
                os.close(end)
        self._number = 0
        self._unread = b""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self.send("Browser.getVersion")  # it is there when it answers
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, TimeoutError):  # it may be gone before it has answered
            self.send("Browser.close")
        deadline = time.monotonic() + _PATIENCE
        while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.killpg(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                break
            time.sleep(0.01)
        os.close(self._out)
        os.close(self._in)
        self._folder.cleanup()

    def send(self, method: str, parameters: Mapping[str, Any] | None = None, session: str | None = None) -> Any:
        """Have the browser do something; its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters or {}}
        text = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        while text:
            text = text[os.write(self._out, text) :]
        deadline = time.monotonic() + _PATIENCE
        while True:
            answer = self._receive(deadline)
            if answer.get("id") != self._number:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            else:
                return answer["result"]

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._unread:
            if not select.select([self._in], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            received = os.read(self._in, 1 << 20)
            if not received:
                raise ConnectionResetError("Chromium has ended")
            self._unread += received
        text, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def tab(self, url: str, *, width: int = 1280, height: int = 900, scheme: str = "light") -> Tab:
        """Open a page."""
        return Tab(self, url, width=width, height=height, scheme=scheme)


class Tab:
    """One page, and what went wrong in it."""

    def __init__(self, browser: Chromium, url: str, *, width: int, height: int, scheme: str) -> None:
        self._browser = browser
        self._context = browser.send("Target.createBrowserContext")["browserContextId"]
        made = browser.send("Target.createTarget", {"url": "about:blank", "browserContextId": self._context})
        attached = browser.send("Target.attachToTarget", {"targetId": made["targetId"], "flatten": True})
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.resize(width, height)
        self.prefer(scheme)
        self.send("Page.navigate", {"url": url})
        self.wait_for("location.href !== 'about:blank' && document.readyState === 'complete'")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.send("Target.disposeBrowserContext", {"browserContextId": self._context})

    def send(self, method: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Have the page do something; its answer."""
        return self._browser.send(method, parameters, self._session)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", size)

    def prefer(self, scheme: str) -> None:
        """Have the system be `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", {"features": features})

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        asked = {
            "expression": expression,
            "returnByValue": True,
            "awaitPromise": True,
            "allowUnsafeEvalBlockedByCSP": False,
        }
        answer = self.send("Runtime.evaluate", asked)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, *, seconds: float = _PATIENCE) -> Any:
        """Ask until the answer is something, and return that."""
        deadline = time.monotonic() + seconds
        while not (value := self.ask(expression)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never true: {expression}; the page says:\n{self.ask('document.body.innerText')}")
            time.sleep(0.02)
        return value

    def press(self, key: str, *, text: str = "") -> None:
        """Press a key and let it go."""
        for kind in ("keyDown", "keyUp"):
            event = {"type": kind, "key": key, "code": key, **({"text": text} if text and kind == "keyDown" else {})}
            codes = {"Enter": 13, "Tab": 9, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, " ": 32}
            self.send("Input.dispatchKeyEvent", event | {"windowsVirtualKeyCode": codes.get(key, 0)})

    def type(self, text: str) -> None:
        """Enter a text where the focus is."""
        self.send("Input.insertText", {"text": text})

    def picture(self, *, whole: bool = False) -> bytes:
        """What is to be seen, as PNG; `whole` beyond the window's end too."""
        return base64.b64decode(self.send("Page.captureScreenshot", {"captureBeyondViewport": whole})["data"])

    def complaints(self) -> list[str]:
        """Errors, forbidden content and requests to elsewhere, so far."""
        self.ask("1")  # so that what was said before has been read
        mine = [event for event in self._browser.events if event.get("sessionId") == self._session]
        said = [event for event in mine if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]
        return [json.dumps(event["params"]) for event in said]

    def requested(self) -> set[str]:
        """The addresses of everything that was asked for."""
        self.ask("1")
        mine = [event for event in self._browser.events if event.get("sessionId") == self._session]
        return {event["params"]["request"]["url"] for event in mine if event["method"] == "Network.requestWillBeSent"}
