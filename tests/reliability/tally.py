"""Counts what a figure tried, and shows how far it is."""

import sys
from collections.abc import Callable


class Tally:
    """`tally.attempt("what", work)` survives where `work` raises nothing."""

    every = 1  # of so many attempts one is made; the tests of the default suite make few

    def __init__(self) -> None:
        self.planned, self.tried, self.notes = 0, 0, list[str]()

    def attempt(self, what: str, work: Callable[[], object]) -> None:
        """Make one attempt."""
        self.planned += 1
        if self.planned % self.every:
            return
        self.tried += 1
        try:
            work()
        except Exception as error:
            words = (str(error).strip().splitlines() or [type(error).__name__])[0]
            self.notes.append(f"{what}: {words[:200]}")
            print(f"\r  {self.notes[-1]}", file=sys.stderr)
        if self.tried % 25 == 0:
            said = f"\r  {self.tried} tried, {len(self.notes)} not survived"
            print(said, end="", file=sys.stderr, flush=True)

    @property
    def result(self) -> tuple[int, int, list[str]]:
        """What a figure returns."""
        return self.tried, self.tried - len(self.notes), self.notes
