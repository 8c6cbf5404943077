"""Which prompts come next: shuffled epochs, a pure function of (seed, position)."""

from collections.abc import Collection, Sequence
from functools import lru_cache

import numpy as np

from jumar.tasks.task import Example


class PromptOrder:
    """Every prompt once per epoch, each epoch in another order; `position` is all its state."""

    def __init__(
        self, examples: Sequence[Example], seed: int, position: int = 0, *, stored: bool = False
    ) -> None:
        self.examples, self.seed, self.position = examples, seed, position
        self.stored = stored  # rows bring their responses, and several may share a prompt

    def next(self, count: int, without: Collection[int] = ()) -> list[Example]:
        """Up to `count` examples; none twice, none whose prompt_id is in `without`.

        Two examples of one prompt are one, unless they are stored rows.
        """
        chosen: dict[int, Example] = {}
        for _ in range(len(self.examples)):
            if len(chosen) == count:
                break
            epoch, index = divmod(self.position, len(self.examples))
            row = _order(self.seed, epoch, len(self.examples))[index]
            example = self.examples[row]
            self.position += 1
            if example.prompt_id not in without:
                chosen.setdefault(row if self.stored else example.prompt_id, example)
        return list(chosen.values())


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    order: list[int] = np.random.default_rng((seed, epoch)).permutation(count).tolist()
    return order
