"""One worker process and the bounded conversation with it."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

MAX_REPLY = 16 * 2**20  # bytes; extracted answers are short, so more than this is a broken worker
_CHUNK = 65_536


class WorkerTimeoutError(Exception):
    """The worker used up its CPU budget, or did not answer within the wall-clock backstop."""


class WorkerDiedError(Exception):
    """The worker ended in any other way, or answered with something that is no reply."""


class WorkerProcess:
    """A `python -m jumar.verifiers.worker` that has been sent its settings."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        # a fixed hash seed keeps scorers that walk over sets of strings reproducible
        environment = {**os.environ, **threads, "PYTHONHASHSEED": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jumar.verifiers.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment,
            start_new_session=True,  # Ctrl-C is for us; and a kill reaches what user code started
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        self._unread = b""
        self._first = dict(settings)
        self._ready = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ready(self, seconds: float) -> str:
        """Why the verifier cannot be built; "" when it is."""
        if self._ready:
            return ""
        reply = self.ask(self._first, seconds)
        self._ready = bool(reply.get("ready"))
        return "" if self._ready else str(reply.get("detail"))

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The reply to one request; raises WorkerTimeoutError or WorkerDiedError."""
        deadline = time.monotonic() + seconds
        try:
            self._write(json.dumps(request).encode("ascii") + b"\n", deadline)
            reply = json.loads(self._line(deadline))
        except (BrokenPipeError, EOFError):
            self._explain_death()
        except ValueError as error:
            raise WorkerDiedError(f"the worker's reply is no JSON: {error}") from error
        if not isinstance(reply, dict):
            raise WorkerDiedError("the worker's reply is no object")
        return reply

    def _write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait([], [self._to], deadline)
            view = view[os.write(self._to, view[:_CHUNK]) :]

    def _line(self, deadline: float) -> bytes:
        parts = [self._unread]
        while b"\n" not in parts[-1]:
            self._wait([self._from], [], deadline)
            chunk = os.read(self._from, _CHUNK)
            if not chunk:
                raise EOFError
            parts.append(chunk)
            if len(parts) * _CHUNK > MAX_REPLY and sum(map(len, parts)) > MAX_REPLY:
                raise WorkerDiedError("the worker's reply is too long")
        line, _, self._unread = b"".join(parts).partition(b"\n")
        return line

    def _wait(self, reads: list[int], writes: list[int], deadline: float) -> None:
        poll = select.poll()  # unlike select.select, it takes file descriptors above 1023
        for fd in reads:
            poll.register(fd, select.POLLIN)
        for fd in writes:
            poll.register(fd, select.POLLOUT)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise WorkerTimeoutError("no answer within the wall-clock limit")

    def _explain_death(self) -> None:
        """Raise what the exit status says: SIGPROF is the CPU budget, the rest is a crash."""
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            raise WorkerDiedError("the worker closed its pipe") from None
        if code == -signal.SIGPROF:
            raise WorkerTimeoutError("the CPU budget was used up")
        cause = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        raise WorkerDiedError(f"the worker ended with {cause}")

    def kill(self) -> None:
        """End the worker and whatever it started, and reap it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
