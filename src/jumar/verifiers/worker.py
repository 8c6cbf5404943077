"""The process that scores: `python -m jumar.verifiers.worker`, JSON lines in, JSON lines out.

It can be killed at any moment without harm. A score that burns its CPU budget is ended by the
kernel (ITIMER_PROF with the default disposition ends the process inside C code too), memory is
limited, and the process dies with its parent. Prints of user code go to stderr, never into the
replies.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any

from jumar.errors import JumarError
from jumar.verifiers.build import build
from jumar.verifiers.score import Row, VerifierSpec

_PR_SET_PDEATHSIG = 1


def serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Read the settings line, then answer one request per line until the pipe closes."""
    first = requests.readline()
    if not first:
        return
    settings = json.loads(first)
    _die_with_parent(settings["parent"])
    sys.path.extend(entry for entry in settings["path"] if entry not in sys.path)
    answer, problem = _prepare(VerifierSpec.from_dict(settings["verifier"]))
    _send(replies, {"ready": answer is not None, "detail": problem})
    if answer is None:
        return
    _limit_memory(settings["memory_mb"])
    for line in requests:
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, request["cpu_seconds"])
        reply = _guarded(answer, request)
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        _send(replies, reply)


def _prepare(spec: VerifierSpec) -> tuple[Callable[[dict[str, Any]], dict[str, Any]] | None, str]:
    """The function that answers a request, or None and why the verifier cannot be built."""
    try:
        score = build(spec)
    except JumarError as error:
        return None, str(error)
    except Exception as error:
        return None, f"The verifier {spec.kind!r} could not be built: {_described(error)}."

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request.get("opinion"):
            from jumar.verifiers.math_verify import opinion

            return {"opinion": opinion(request["extracted"], request["gold"])}
        row = Row(request["prompt"], request["answer"], request["metadata"])
        return asdict(score(request["response"], row))

    return answer, ""


def _guarded(
    answer: Callable[[dict[str, Any]], dict[str, Any]], request: dict[str, Any]
) -> dict[str, Any]:
    """The reply, or one that says how scoring broke; sys.exit() in user code included."""
    try:
        return answer(request)
    except BaseException as error:
        return {"score": 0.0, "correct": False, "status": "crashed", "detail": _described(error)}


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


def _send(replies: IO[bytes], message: dict[str, Any]) -> None:
    replies.write(json.dumps(message).encode("ascii") + b"\n")
    replies.flush()


def _die_with_parent(parent: int) -> None:
    """Have the kernel kill us when the parent ends; elsewhere the closed pipe does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(0)


def _limit_memory(megabytes: int) -> None:
    """Allow `megabytes` of address space beyond what the loaded verifier already maps."""
    mapped = 0
    with suppress(OSError), open("/proc/self/statm", encoding="ascii") as statm:
        mapped = int(statm.read().split()[0]) * resource.getpagesize()
    limit = mapped + megabytes * 2**20
    with suppress(ValueError, OSError):  # macOS refuses RLIMIT_AS
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Take the pipes away from user code, then serve."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    warnings.simplefilter("ignore")
    with suppress(BrokenPipeError):
        serve(requests, replies)
    # leftover threads and atexit hooks of user code must not keep us alive
    with suppress(BrokenPipeError):
        replies.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
