"""Django: one client for the project, and a middleware that labels every call with the name of its view.

    python django_app.py runserver

The variables MONITORED_OPENAI_* name the back ends for the telemetry. When gunicorn stops a worker, the worker runs
Python's exit handlers, and the library's handler delivers the remaining telemetry. For an ASGI server, see the FastAPI
example.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, resolve

from monitored_openai import MonitoredOpenAI, attributes

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1", "testserver"],
    MIDDLEWARE=[f"{__name__}.labelled"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="an example's",  # noqa: S106  # the example has no sessions
)
client = MonitoredOpenAI()


def labelled(respond: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Return the middleware; with the setting label_names=feature, the metrics have this label too."""

    def middleware(request: HttpRequest) -> HttpResponse:
        with attributes(feature=resolve(request.path_info).view_name):
            return respond(request)

    return middleware


def ask(request: HttpRequest) -> JsonResponse:
    """Answer a question."""
    answer = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": request.GET["question"]}]
    )
    return JsonResponse({"answer": answer.choices[0].message.content})


urlpatterns = [path("ask", ask, name="ask")]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
