"""The entry point of the command `monitored-openai`: starts fast, and an interrupt ends it without a traceback.

This module is beside the package, because the import of any module of the package first imports the package itself, and
with it the SDK. That takes a second or two.
"""

import os
import signal
import sys
from importlib.util import find_spec, module_from_spec
from types import FrameType
from typing import Any

_PACKAGE = "monitored_openai"
_INTERRUPTED = 130
_IMPORT_SYSTEM = "<frozen importlib."


def main() -> int:
    """Run the command with the arguments of the process.

    Returns:
        The exit code of the command.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a shell started it with SIGINT ignored
        signal.signal(signal.SIGINT, _interrupt)
    if _PACKAGE not in sys.modules:
        _defer_package()
    from monitored_openai._cli.main import main as run

    code = run()
    if signal.getsignal(signal.SIGINT) in (_interrupt, signal.default_int_handler):
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python would show a traceback if it is interrupted at its end
    return code


def _interrupt(_signal: int, frame: FrameType | None) -> None:
    """End the process if it is importing a module, because Python may lose an exception there.

    Raises:
        KeyboardInterrupt: no import is in progress; the command cleans up.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORT_SYSTEM):
            os._exit(_INTERRUPTED)
        frame = frame.f_back
    raise KeyboardInterrupt


def _defer_package() -> None:
    """Postpone the package's own code to its first use. This process can import its modules before that.

    The command reads public names such as `MonitoredOpenAI` only if it makes calls.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(name=_PACKAGE)
    package, loader = module_from_spec(spec), spec.loader

    def load(name: str) -> Any:
        vars(package).pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, name)

    vars(package)["__getattr__"] = load
    sys.modules[_PACKAGE] = package
