"""TreePO: DAPO whose advantage compares a response with all that share its beginning, at every depth of the tree.

    node at depth d: responses to one prompt that share their first d * segment tokens                 depth 0: the group
    A_i = mean over the nodes of i with other responses in them of (R_i - mean of the node), whitened over all tokens

Where a response left its siblings early or late, it is measured against the right ones: after a good
beginning only what was made of it counts. Shared beginnings are read off the tokens, so it is the
sampler that makes the tree; from independent samples there is only its root.

Paper: Li et al. 2025, TreePO: Bridging the Gap of Policy Optimization and Efficacy and Inference Efficiency with Heuristic Tree-based Modeling, arXiv:2508.17445.   Code: https://github.com/multimodal-art-projection/TreePO, verl/trainer/ppo/core_algos.py.
Departs: the advantage alone; its sampler, which branches every segment of up to 512 tokens and 14 times, is the engine's affair. The plain mean over nodes is its script's; the code can weigh them by size. A group of one gets 0, there its raw reward. Filter, clips, dual clip and overlong reward are our `dapo`'s, with the script's limits: overlong_limit = 7168 and overlong_cache = 512; overlong_coef = 0.5 is half of its, since our verdict is 0 or 1.   Elsewhere: absent from TRL and verl, whose fork the released code is.   Changes: advantage.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.algorithms.dapo import dapo
from jumar.ops.group import group_centred, group_size
from jumar.ops.masked import spread, whitened
from jumar.pieces import piece, promises
from jumar.types import RolloutBatch, Signals, State


def ancestors(rollout: RolloutBatch, segment: int) -> Iterator[Tensor]:
    """[B] int at each depth, root first: rows with one number share that beginning."""
    nodes, length = rollout.group_ids, rollout.mask.shape[1]
    reach = (rollout.mask * torch.arange(1, length + 1, device=nodes.device)).amax(dim=1)
    alone = torch.arange(1, len(nodes) + 1, device=nodes.device)
    yield nodes
    for end in range(segment, length + 1, segment):
        gone = alone * (reach < end)  # ended before: a leaf of its own
        key = [nodes[:, None], gone[:, None], rollout.token_ids[:, end - segment : end]]
        nodes = torch.unique(torch.cat(key, dim=1), dim=0, return_inverse=True)[1]
        yield nodes


@promises("group_centred")
def ancestor_advantage(
    rollout: RolloutBatch, state: State, *, segment: int
) -> tuple[Signals, State]:
    """[B, T]: the mean over a response's nodes of its distance from their mean rewards, whitened."""
    total, count = torch.zeros_like(rollout.rewards), torch.zeros_like(rollout.rewards)
    for nodes in ancestors(rollout, segment):
        total += group_centred(rollout.rewards, nodes)
        count += group_size(nodes) > 1
    mean = total / count.clamp(min=1)
    return Signals(advantages=whitened(spread(mean, rollout.mask), rollout.mask)), state


def treepo(
    *,
    segment: int = 512,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float | None = 10.0,
    overlong_limit: int = 7168,
    overlong_cache: int = 512,
    overlong_coef: float = 0.5,
) -> Algorithm:
    """`segment` is in tokens and should be the sampler's: a smaller one finds more shared beginnings."""
    plain = dapo(
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=dual_clip,
        overlong_limit=overlong_limit,
        overlong_cache=overlong_cache,
        overlong_coef=overlong_coef,
    )
    return replace(plain, name="treepo", advantage=piece(ancestor_advantage, segment=segment))
