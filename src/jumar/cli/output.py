"""Text for people and for programs: nothing that a model or a file says is read as markup."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from jumar.errors import EngineError, JumarError

FAULT_OF_THE_INPUT = 2
INTERRUPTED = 130
WIDE = 120


class NoMarkup:
    """A console that prints text as it is: no markup, no highlighting, no folding in a pipe."""

    def __init__(self, *, stderr: bool = False) -> None:
        self._console = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
        if not self._console.is_terminal:
            self._console.width = WIDE

    def print(self, text: str | Text) -> None:
        """One text, on its own lines."""
        self._console.print(text, soft_wrap=True)

    def show(self, table: RenderableType) -> None:
        """A table, folded to the screen where there is one."""
        self._console.print(table)

    def columns(self, rows: Sequence[tuple[str, str]]) -> None:
        """A name and what it is, in each line."""
        width = max((len(name) for name, _ in rows if len(name) < 40), default=0)
        for name, description in rows:
            self.print(Text.assemble((f"{name:<{width}}", "bold"), "  ", description))


def print_json(data: Any) -> None:
    """JSON and nothing else on stdout."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def without_bars() -> None:
    """Loading weights from disk takes a moment; transformers shows a bar for each time."""
    from transformers.utils import logging

    logging.disable_progress_bar()


@contextmanager
def reported() -> Iterator[None]:
    """A user's error as one message and exit code 2; anything else keeps its traceback.

    Of several processes one on each machine tells what is wrong with the input, and each what went
    wrong on the way.
    """
    try:
        yield
    except JumarError as error:
        if os.environ.get("LOCAL_RANK", "0") == "0" or isinstance(error, EngineError):
            NoMarkup(stderr=True).print(Text.assemble(("error: ", "bold red"), str(error)))
        raise typer.Exit(FAULT_OF_THE_INPUT) from None
    except KeyboardInterrupt:
        NoMarkup(stderr=True).print("interrupted")
        raise typer.Exit(INTERRUPTED) from None
