"""Every SDK method that sends a POST: what the library records of its calls, or why it records none.

`endpoints_table.py` writes these tables into docs/endpoints.md. A test fails if a method of a newer SDK is missing here.
"""

# ruff: noqa: INP001 - a script, no module of a package

from __future__ import annotations

from dataclasses import dataclass

from monitored_openai._endpoints.audio import SPEECH, TRANSCRIPTIONS, TRANSLATIONS
from monitored_openai._endpoints.base import Endpoint
from monitored_openai._endpoints.chat import CHAT
from monitored_openai._endpoints.completions import COMPLETIONS
from monitored_openai._endpoints.decisions import DECISIONS
from monitored_openai._endpoints.embeddings import EMBEDDINGS
from monitored_openai._endpoints.images import EDITS, GENERATIONS, VARIATIONS
from monitored_openai._endpoints.jobs import BATCHES, SESSIONS, TRAINING, VIDEOS
from monitored_openai._endpoints.moderations import MODERATIONS
from monitored_openai._endpoints.responses import CANCEL, COMPACT, RESPONSES, RETRIEVE
from monitored_openai._endpoints.runs import RUNS


@dataclass(frozen=True, slots=True)
class Observed:
    """Methods of the client whose calls the library observes, as one family of endpoints."""

    methods: str
    """Names, separated by spaces; a method that some SDK also has under `beta.` appears with this prefix too."""
    families: tuple[Endpoint, ...]
    usage: str
    cost: str
    since: str
    """The first of the three tested SDKs (1.92, 2.54, 3.57) that has the methods."""
    streams: bool = False

    @property
    def operation(self) -> str:
        """The operation's name in the metrics and the log."""
        return self.families[0].operation


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Methods whose calls the library does not observe; a name that ends in `.*` stands for all names below it."""

    methods: str
    reason: str


_TOKENS, _OF_TOKENS = "tokens", "by tokens"
_LATER, _OWED = "unknown until a later call reports it", "tokens that no earlier call reported"
_NEVER, _UNPRICED = "never reported", "unpriced"

OBSERVED = (
    Observed("chat.completions.create", (CHAT,), _TOKENS, _OF_TOKENS, "1.92", streams=True),
    Observed("completions.create", (COMPLETIONS,), _TOKENS, _OF_TOKENS, "1.92", streams=True),
    Observed(
        "responses.create", (RESPONSES,), f"{_TOKENS}; in the background, {_LATER}", _OF_TOKENS, "1.92", streams=True
    ),
    Observed(
        "beta.responses.create",
        (RESPONSES,),
        f"{_TOKENS}; in the background, {_LATER}",
        _OF_TOKENS,
        "2.54",
        streams=True,
    ),
    Observed("responses.compact beta.responses.compact", (COMPACT,), _TOKENS, _OF_TOKENS, "2.54"),
    Observed("responses.retrieve", (RETRIEVE,), _OWED, _OF_TOKENS, "1.92", streams=True),
    Observed("beta.responses.retrieve", (RETRIEVE,), _OWED, _OF_TOKENS, "2.54", streams=True),
    Observed("responses.cancel", (CANCEL,), _OWED, _OF_TOKENS, "1.92"),
    Observed("beta.responses.cancel", (CANCEL,), _OWED, _OF_TOKENS, "2.54"),
    Observed("embeddings.create", (EMBEDDINGS,), "input tokens", _OF_TOKENS, "1.92"),
    Observed("images.generate", (GENERATIONS,), "tokens; unknown for dall-e", _OF_TOKENS, "1.92", streams=True),
    Observed("images.edit", (EDITS,), "tokens; unknown for dall-e", _OF_TOKENS, "1.92", streams=True),
    Observed("images.create_variation", (VARIATIONS,), _NEVER, _UNPRICED, "1.92"),
    Observed(
        "audio.speech.create",
        (SPEECH,),
        "characters of the request; tokens if the request asks for events",
        "by characters, if the model is billed by them",
        "1.92",
    ),
    Observed(
        "audio.transcriptions.create",
        (TRANSCRIPTIONS,),
        "tokens or seconds; unknown for plain text",
        "by tokens or seconds",
        "1.92",
        streams=True,
    ),
    Observed("audio.translations.create", (TRANSLATIONS,), "seconds, if reported", "by seconds", "1.92"),
    Observed("moderations.create", (MODERATIONS,), "none: the endpoint is free", "none: the endpoint is free", "1.92"),
    Observed("decisions.create", (DECISIONS,), _TOKENS, _OF_TOKENS, "3.57"),
    Observed("batches.create", (BATCHES,), "in the output file: see [Batches](#batches)", _UNPRICED, "1.92"),
    Observed(
        "videos.create videos.create_character videos.edit videos.extend videos.remix",
        VIDEOS,
        _NEVER,
        "by seconds; `create_character` and `extend` unpriced",
        "2.54",
    ),
    Observed("fine_tuning.jobs.create", TRAINING[:1], _NEVER, _UNPRICED, "1.92"),
    Observed("fine_tuning.alpha.graders.run", TRAINING[1:2], _NEVER, _UNPRICED, "1.92"),
    Observed("evals.runs.create", TRAINING[2:], _NEVER, _UNPRICED, "1.92"),
    Observed("realtime.calls.create realtime.calls.accept", SESSIONS[:2], _NEVER, _UNPRICED, "2.54"),
    Observed("live.create live.sessions.accept live.sessions.fork", SESSIONS[2:5], _NEVER, _UNPRICED, "3.57"),
    Observed(
        "beta.agents.sessions.create beta.agents.sessions.events.create beta.agents.automations.invocations.create",
        SESSIONS[5:8],
        "only a provisional count of the whole session, which the library does not use",
        _UNPRICED,
        "3.57",
        streams=True,
    ),
    Observed("containers.create", SESSIONS[8:], _NEVER, "by session", "1.92"),
    Observed(
        "beta.threads.runs.create beta.threads.create_and_run",
        RUNS[:2],
        f"tokens of streams; otherwise {_LATER}",
        _OF_TOKENS,
        "1.92",
        streams=True,
    ),
    Observed("beta.threads.runs.retrieve", RUNS[2:3], _OWED, _OF_TOKENS, "1.92"),
    Observed("beta.threads.runs.submit_tool_outputs", RUNS[3:4], _OWED, _OF_TOKENS, "1.92", streams=True),
    Observed("beta.threads.runs.cancel", RUNS[4:], _OWED, _OF_TOKENS, "1.92"),
)

_STATE, _STORED = "stores or changes data, and runs no model", "billed by size and time of storage"
_CREDENTIAL = "issues a credential for a session, and runs no model"

LEFT_OUT = (
    LeftOut("admin.*", "administration"),
    LeftOut("webhooks.*", "administration"),
    LeftOut("files.create uploads.* containers.files.create beta.agents.environments.files.create", _STORED),
    LeftOut("vector_stores.*", _STORED),
    LeftOut("chat.completions.update conversations.* evals.create evals.update skills.*", _STATE),
    LeftOut("audio.voices.create audio.voice_consents.*", _STATE),
    LeftOut("beta.assistants.* beta.threads.create beta.threads.update beta.threads.messages.*", _STATE),
    LeftOut("beta.threads.runs.update", _STATE),
    LeftOut("beta.agents.create beta.agents.update beta.agents.sessions.update beta.agents.vaults.*", _STATE),
    LeftOut("beta.agents.automations.create beta.agents.automations.update beta.agents.automations.pause", _STATE),
    LeftOut("beta.agents.automations.resume beta.agents.environments.create", _STATE),
    LeftOut("beta.agents.environments.templates.*", _STATE),
    LeftOut("batches.cancel evals.runs.cancel fine_tuning.jobs.cancel fine_tuning.jobs.pause", "stops a job"),
    LeftOut("fine_tuning.jobs.resume", "resumes a job"),
    LeftOut("fine_tuning.alpha.graders.validate", "checks a grader, and runs no model"),
    LeftOut("fine_tuning.checkpoints.permissions.create", "administration"),
    LeftOut("responses.input_tokens.count beta.responses.input_tokens.count", "counts tokens, and runs no model"),
    LeftOut("content_provenance_checks.create", "checks a file, and runs no model"),
    LeftOut("realtime.client_secrets.create realtime.translations.client_secrets.create", _CREDENTIAL),
    LeftOut("beta.realtime.sessions.create beta.realtime.transcription_sessions.create", _CREDENTIAL),
    LeftOut("beta.chatkit.sessions.*", _CREDENTIAL),
    LeftOut("realtime.calls.hangup realtime.calls.refer realtime.calls.reject", "ends or transfers a session"),
    LeftOut("live.sessions.hangup live.sessions.refer live.sessions.reject", "ends or transfers a session"),
)

NOT_POSTED = (
    LeftOut(
        "responses.connect beta.responses.connect realtime.connect realtime.translations.connect beta.realtime.connect"
        " live.connect live.forks.connect live.sideband.connect",
        "WebSocket: the library does not observe the connection or its messages",
    ),
)
"""Methods that cost money and do not use HTTP requests."""
