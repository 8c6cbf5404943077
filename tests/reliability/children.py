"""Work in a forked process, which may be killed: torch is imported once, by the parent."""

import json
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jumar.errors import JumarError


@dataclass(frozen=True)
class Ended:
    """How a child ended: what it `gave`, or that it was `killed`, or the user's error it `refused`
    with; `broke` is the trace of any other.
    """

    gave: Any = None
    killed: bool = False
    refused: str = ""
    broke: str = ""

    def result(self) -> Any:
        """What it gave; anything else fails."""
        assert self == Ended(gave=self.gave), self
        return self.gave


def in_child(work: Callable[[], Any]) -> Ended:
    """Run `work` in a fork of this process; what it gives has to be JSON-able."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            json.dump(_answer(work), out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return Ended(killed=os.WTERMSIG(status) == signal.SIGKILL)
    return Ended(**json.loads(text))


def _answer(work: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"gave": work()}
    except JumarError as error:
        return {"refused": f"{type(error).__name__}: {error}"}
    except BaseException:
        return {"broke": traceback.format_exc()[-2000:]}
