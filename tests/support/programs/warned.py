"""Makes calls under one set-up of logging and ends: ``python tests/support/programs/warned.py SETUP CALLS [on_record]``."""

from __future__ import annotations

import logging
import logging.config
import sys
from collections.abc import Callable
from typing import Any

from monitored_openai import CallRecord, MonitoringSettings, attributes
from tests.support.handles import ask, in_process
from tests.support.programs.prompts import PROMPT


def to_stdout() -> None:
    """Send the package's lines to stdout only."""
    handlers = {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}}
    loggers = {"monitored_openai": {"handlers": ["out"], "level": "WARNING", "propagate": False}}
    logging.config.dictConfig({"version": 1, "handlers": handlers, "loggers": loggers})


def null_handler() -> None:
    """Silence the package as Python's manual says."""
    logging.getLogger("monitored_openai").addHandler(logging.NullHandler())


SETUPS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "basicConfig": logging.basicConfig,
    "stdout": to_stdout,
    "null": null_handler,
}


def raises(record: CallRecord) -> None:
    raise ValueError(f"{PROMPT} {record.request}")


if __name__ == "__main__":
    from monitored_openai._exporter import monitoring_for

    SETUPS[sys.argv[1]]()
    own: dict[str, Any] = {"on_record": raises} if sys.argv[3:] else {}
    with in_process(monitoring_for(MonitoringSettings(**own))) as client:
        for _ in range(int(sys.argv[2])):
            with attributes(customer=None):
                ask(client, PROMPT)
    sys.stdout.write("done\n")
