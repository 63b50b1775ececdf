"""The console script: an interrupt ends the command without a traceback, also during its imports."""

import os
import signal
from types import FrameType

_INTERRUPTED = 130
_IMPORT_SYSTEM = "<frozen importlib."


def main() -> int:
    """Run the command with the arguments of the process.

    Returns:
        The exit code of the command.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a shell started it with SIGINT ignored
        signal.signal(signal.SIGINT, _interrupt)
    from monitored_openai._cli.main import main as run

    code = run()
    if signal.getsignal(signal.SIGINT) is _interrupt:
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
