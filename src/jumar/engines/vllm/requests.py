"""What is asked of vLLM and what comes back, in process or over HTTP alike: token ids, no text."""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jumar.engines.local.sampler import Sampling
from jumar.errors import EngineError, JumarError

FINISHED = ("stop", "length")
GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`count` responses to one prompt; response i is drawn with the seed `seed` + i."""

    prompt: Sequence[int]
    weights: str  # names what was loaded last; what is cached under another name is not used
    sampling: Sampling = GREEDY
    count: int = 1
    max_tokens: int = 1
    stop_ids: Sequence[int] = ()
    seed: int = 0
    score_prompt: bool = False  # ask for the log-probs of the prompt's own tokens, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What has been added to one response to one request."""

    request: int
    response: int = 0
    token_ids: Sequence[int] = ()
    logprobs: Sequence[float] = ()
    prompt_logprobs: Sequence[float] = ()  # of each prompt token but the first
    finished: str | None = None  # "stop" or "length"


@dataclass(slots=True)
class Answer:
    """One response; log-probs in nats."""

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    prompt_logprobs: list[float] = field(default_factory=list)
    truncated: bool = False


Put = Callable[[Delta | Exception], None]


class Engine(Protocol):
    """A vLLM, started by the run or behind an address."""

    name: str  # for messages
    room: int  # tokens that prompt and response may have together

    def stream(self, requests: Sequence[Request], put: Put) -> None:
        """Give every delta to `put`, from any thread; what goes wrong is put or raised."""
        ...

    def load(self, directory: Path) -> None:
        """Exchange the weights for those of a directory, or the adapter for the one there."""
        ...

    def close(self) -> None:
        """Stop what was started and drop what is on its way; must not wait for an answer."""
        ...


def answers(engine: Engine, requests: Sequence[Request], *, patience: float) -> list[list[Answer]]:
    """The responses to each request; EngineError after `patience` seconds without one token."""
    found = [[Answer() for _ in range(request.count)] for request in requests]
    left = sum(request.count for request in requests)
    arrived = _started(lambda put: engine.stream(requests, put))
    while left:
        delta = _next(engine, arrived, patience)
        answer = found[delta.request][delta.response]
        answer.token_ids += delta.token_ids
        answer.logprobs += delta.logprobs
        answer.prompt_logprobs += delta.prompt_logprobs
        if delta.finished is not None:
            if delta.finished not in FINISHED:
                raise failed(engine, RuntimeError(f"a response ended with {delta.finished!r}"))
            answer.truncated = delta.finished == "length"
            left -= 1
    return found


def within(engine: Engine, seconds: float, call: Callable[[], Any]) -> None:
    """Let `call` end; EngineError after so many seconds."""

    def run(put: Callable[[Any], None]) -> None:
        call()
        put(None)

    _next(engine, _started(run), seconds)


def failed(engine: Engine, cause: BaseException) -> EngineError:
    """It ended, or cannot do what it was asked for."""
    words = (str(cause).strip().splitlines() or [""])[0][:300]
    return EngineError(
        f"{engine.name} failed ({type(cause).__name__}{': ' if words else ''}{words}), but the run "
        "needs it for every response. Most often its process was killed, or had too little memory. "
        "Look at its log, start it again, and go on from the last checkpoint with --resume."
    )


def _started(run: Callable[[Callable[[Any], None]], None]) -> "queue.Queue[Any]":
    """What `run` puts, and at last the exception that it ends with.

    In a daemon thread: a call into an engine that hangs cannot be ended, and must not keep the
    process from ending.
    """
    arrived: queue.Queue[Any] = queue.Queue()

    def guarded() -> None:
        try:
            run(arrived.put)
        except BaseException as error:
            arrived.put(error)

    threading.Thread(target=guarded, daemon=True, name="vllm").start()
    return arrived


def _next(engine: Engine, arrived: "queue.Queue[Any]", patience: float) -> Any:
    try:
        found = arrived.get(timeout=patience)
    except queue.Empty:
        raise EngineError(
            f"{engine.name} gave no sign for {patience:.0f} seconds, but the run needs it for "
            "every response. It hangs, or is overloaded beyond use. Look at its log, start it "
            "again, and go on from the last checkpoint with --resume; if it was only slow, raise "
            "vllm.patience."
        ) from None
    if isinstance(found, JumarError):
        raise found
    if isinstance(found, BaseException):
        raise failed(engine, found) from found
    return found
