"""What runs inside the sandbox, around the model's program; jumar never imports it.

    python -c <the text of this file> FD        FD: a file with the job, as JSON

The program shares this interpreter, so nothing here is a secret and no check of ours could be
trusted. Expected values are therefore not here, and everything that comes out is only an answer,
which is compared outside.
"""

import functools
import json
import os
import resource
import sys
import types
from collections.abc import Callable
from typing import IO, Any


def run(job: dict[str, Any]) -> None:
    """Say that we run, then be the program; its functions are called where the job names calls."""
    nonce, calls = job["nonce"], job.get("calls")
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        print(nonce, file=out, flush=True)
        for name, wanted in job["limits"].items():
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(kind, (limit, limit))
        module = types.ModuleType("__main__" if calls is None else "program")
        sys.modules[module.__name__] = module  # dataclasses look themselves up there
        if calls is None:
            out.close()
            exec(compile(job["code"], "program.py", "exec"), module.__dict__)
            return
        os.dup2(2, 1)  # what the program prints is not an answer
        if say(out, nonce, "loaded", lambda: exec(job["code"], module.__dict__)):
            for at, (name, arguments) in enumerate(calls):
                say(out, nonce, at, functools.partial(call, module, name, arguments))


def call(module: types.ModuleType, name: str, arguments: list[Any]) -> Any:
    """What the program's function returns."""
    return getattr(module, name)(*arguments)


def say(out: IO[str], nonce: str, about: str | int, work: Callable[[], Any]) -> bool:
    """Print what `work` returns, or how it failed, as a line; whether it returned."""
    try:
        line, returned = json.dumps(work(), allow_nan=False), True
    except BaseException as error:
        line, returned = f"!{type(error).__name__}: {error}"[:200].replace("\n", " "), False
    print(nonce, about, line, file=out, flush=True)
    return returned


if __name__ == "__main__":
    with os.fdopen(int(sys.argv[1]), encoding="utf-8") as file:
        given = json.load(file)
    run(given)
