"""The API of the predecessor, `grafana-openai-monitoring`: a program only changes its import.

from monitored_openai.compat import chat_v1, chat_v2
"""

from monitored_openai.compat import chat_v1, chat_v2

__all__ = ["chat_v1", "chat_v2"]
