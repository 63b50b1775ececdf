"""The API of `grafana-openai-monitoring`: change its imports to these, and nothing else.

from monitored_openai.compat import chat_v1, chat_v2
"""

from monitored_openai.compat import chat_v1, chat_v2

__all__ = ["chat_v1", "chat_v2"]
