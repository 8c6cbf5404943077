"""Programs that a model wrote, run by bubblewrap where there is nothing to reach.

Inside are Python and its standard library, read-only, under names that say nothing of the host; no
other file and no place to write, no network, no process but the program's own, no environment, no
/proc, no /dev. Memory, processor time, open files and output are limited; and when the time is up,
or the process that scores dies, the kernel ends everything inside.

Which program runs out of processor time does not depend on how busy the machine is. The wall clock
is there for programs that sleep, and its limit is an error, so that a run can count it.
"""

import json
import math
import os
import platform
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

from jumar.errors import ConfigurationError
from jumar.verifiers.isolation import IsolationError, isolating
from jumar.verifiers.system_calls import MACHINES, system_call_filter

MAX_OUTPUT = 2**20  # bytes of one run
KILLED = "it ran out of time or memory"
BY_NAME = "run_model_code_without_isolation"
_PROBE_SECONDS = 30.0
_CHUNK = 65_536
_LIMITS = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": 64, "RLIMIT_NPROC": 64}


class SandboxError(RuntimeError):
    """The sandbox did not start, although it did before."""


class SandboxTimeoutError(RuntimeError):
    """The wall clock ran out first."""


class Run(NamedTuple):
    """What came out; how the program ended, "" where by itself; the first word of honest lines."""

    output: str
    ending: str
    nonce: str


class Sandbox:
    """Where programs run. ConfigurationError where it should be isolated and cannot be."""

    def __init__(self, *, cpu_seconds: float, memory_mb: int, isolated: bool = True) -> None:
        limits = {"RLIMIT_AS": memory_mb * 2**20, "RLIMIT_CPU": math.ceil(cpu_seconds), **_LIMITS}
        self._job = {"limits": limits}
        self._driver = Path(__file__).with_name("sandboxed.py").read_text(encoding="utf-8")
        self._command, self._filter = [os.path.realpath(sys.executable)], b""
        if isolated:
            if platform.system() != "Linux" or platform.machine() not in MACHINES:
                _refuse(f"that works on Linux on {' and '.join(MACHINES)} only")
            self._filter = system_call_filter(platform.machine())
            try:
                self._command = isolating()
            except IsolationError as error:
                _refuse(str(error))
            self._probe()

    def run(self, job: Mapping[str, Any], stdin: str, deadline: float) -> Run:
        """Run `job` ("code", and "calls" for functions) until `deadline` on the monotonic clock.

        Raises SandboxTimeoutError there, and SandboxError where the program was not reached.
        """
        nonce = secrets.token_hex(16)
        work = json.dumps({**self._job, **job, "nonce": nonce})
        with _readable(work) as job_file, _readable(stdin) as input_file:
            arguments = ["-c", self._driver, str(job_file.fileno())]
            with self._started(arguments, job_file, input_file, subprocess.DEVNULL) as process:
                output, ending = _collected(process, deadline)
        first, _, rest = output.decode("utf-8", "replace").partition("\n")
        if first != nonce:
            raise SandboxError(f"the sandbox did not start: {ending or 'no reply'}")
        return Run(rest, ending, nonce)

    @contextmanager
    def _started(
        self, arguments: list[str], job: IO[bytes], stdin: IO[bytes], errors: int
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """Python, started inside, and ended with everything that it started."""
        with _readable(self._filter) as rules:
            before, *after = self._command
            given = ["--seccomp", str(rules.fileno())] if self._filter else []
            process = subprocess.Popen(
                [before, *given, *after, "-I", "-B", "-X", "utf8", *arguments],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=(job.fileno(), rules.fileno()),
                env={},
                cwd="/",
                start_new_session=True,
            )
            with process:
                try:
                    yield process
                finally:
                    if process.returncode is None:  # its number is not yet another's
                        with suppress(PermissionError):
                            os.killpg(process.pid, signal.SIGKILL)

    def _probe(self) -> None:
        """Refuse where not even a harmless program runs."""
        with _readable("") as nothing:
            arguments = ["-c", "print(6 * 7)"]
            with self._started(arguments, nothing, nothing, subprocess.STDOUT) as process:
                output, ending = _collected(process, time.monotonic() + _PROBE_SECONDS)
        if output != b"42\n":
            _refuse(output.decode("utf-8", "replace").strip()[-300:] or ending)


def _refuse(reason: str) -> NoReturn:
    raise ConfigurationError(
        "The verifier 'code' needs a sandbox, because it runs programs that a model wrote, but "
        f"there is none to be had: {reason}. Install bubblewrap (Debian's package of that name, "
        "`make system-deps`) and allow user namespaces; or, on a machine that you can afford to "
        f"lose, say {BY_NAME}=true."
    )


@contextmanager
def _readable(data: str | bytes) -> Iterator[IO[bytes]]:
    """A file that holds `data`, which whoever inherits it can only read."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data if isinstance(data, bytes) else data.encode("utf-8", "replace"))
        file.flush()
        with open(file.name, "rb") as reading:
            yield reading


def _collected(process: "subprocess.Popen[bytes]", deadline: float) -> tuple[bytes, str]:
    """(what it wrote, how it ended); SandboxTimeoutError at the deadline."""
    assert process.stdout is not None
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    parts: list[bytes] = []
    while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        if chunk := os.read(process.stdout.fileno(), _CHUNK):
            parts.append(chunk)
            if sum(map(len, parts)) > MAX_OUTPUT:
                return b"".join(parts), f"it wrote more than {MAX_OUTPUT} bytes"
            continue
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(max(0.0, deadline - time.monotonic()))
            return b"".join(parts), _ending(code)
        break
    raise SandboxTimeoutError("no end of the program within the wall-clock limit")


def _ending(code: int) -> str:
    """What the exit status says, nothing where all is well; bubblewrap adds 128 to a signal."""
    number = -code if code < 0 else code - 128
    if number == signal.SIGKILL:
        return KILLED
    if number in set(signal.Signals):
        return f"ended by {signal.Signals(number).name}"
    return f"exit status {code}" if code else ""
