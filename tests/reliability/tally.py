"""Counts what a figure tried, and shows how far it is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Tally:
    """`with tally.trying("what"):` counts one attempt; it survived where nothing was raised."""

    def __init__(self) -> None:
        self.tried, self.notes = 0, list[str]()

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """One attempt; AssertionError and any other exception mean that it did not survive."""
        self.tried += 1
        if sys.stderr.isatty() or self.tried % 100 == 0:
            print(f"\r  {self.tried} tried, {len(self.notes)} not survived", end="",
                  file=sys.stderr, flush=True)  # fmt: skip
        try:
            yield
        except Exception as error:
            words = (str(error).strip().splitlines() or [type(error).__name__])[0]
            self.notes.append(f"{what}: {words[:200]}")

    @property
    def result(self) -> tuple[int, int, list[str]]:
        """What a figure returns."""
        return self.tried, self.tried - len(self.notes), self.notes
