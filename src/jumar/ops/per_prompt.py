"""What a state knows of each prompt from earlier rollouts: columns with one row per prompt.

The column "prompt_ids" names the rows and is sorted, so that a state does not depend on the order
in which prompts came. A state lies on the CPU, where checkpoints are made.
"""

import torch
from torch import Tensor

from jumar.types import State


def no_prompts(*, columns: tuple[str, ...]) -> State:
    """A state in which nothing is known of any prompt."""
    return {"prompt_ids": torch.zeros(0, dtype=torch.long), **{n: torch.zeros(0) for n in columns}}


def recalled(
    state: State, name: str, prompt_ids: Tensor, *, like: Tensor, unknown: float = 0.0
) -> Tensor:
    """[B], of the kind of `like`: what is known of each row's prompt, `unknown` of a new one."""
    known, wanted = state["prompt_ids"], prompt_ids.cpu()
    place = torch.searchsorted(known, wanted).clamp(max=max(len(known) - 1, 0))
    if not len(known):
        return torch.full_like(like, unknown)
    found = torch.where(known[place] == wanted, state[name][place], unknown)
    return found.to(like)


def remembered(state: State, prompt_ids: Tensor, **columns: Tensor) -> State:
    """The state with the prompts of these rows renewed; rows of one prompt bring one value."""
    ids, rows = prompt_ids.cpu(), torch.arange(len(prompt_ids))
    new, place = torch.unique(ids, return_inverse=True)
    first = torch.zeros_like(new).scatter_(0, place.flip(0), rows.flip(0))  # the last write stays
    kept = ~torch.isin(state["prompt_ids"], new)
    every = torch.cat([state["prompt_ids"][kept], new])
    order = every.argsort()
    joined = {n: torch.cat([state[n][kept], c.cpu()[first]])[order] for n, c in columns.items()}
    return {"prompt_ids": every[order], **joined}
