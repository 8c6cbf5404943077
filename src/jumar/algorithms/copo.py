"""COPO: beside the responses of a prompt, compare prompts, by how right and how consistent they are.

    H    = entropy in bits of the answers to the prompt           w = sigmoid(k (H - b)), 0 where A_i = 0
    A_i  = (R_i - mean_g R) / (std_g R + eps)                     B = (Q - mean of all Q) / (std of all Q + eps)
    Q    = mean_g R * (1 - lam * H), one per prompt               L = w clipped(A_i) + (1 - w) clipped(B)
    lam  = (1 - 1/n) / log2 n for n responses: where all answers differ, 1/n of the reward is left

Where all responses agree, A_i says nothing and w is small: the prompt is pushed up or down as a whole.

Paper: Han et al. 2025, COPO: Consistency-Aware Policy Optimization, arXiv:2508.04138.   Code: https://github.com/hijih/copo-code, verl/trainer/ppo/core_algos.py.
Departs: nothing from the released code, whose other ways to blend are left out. k = 1.0, b = 0.5, dual_clip = 3.0, eps = 1e-6, the unbiased std and the mean over all tokens are its defaults; clip_low = clip_high = 0.2 are ours. Answers are the same where their text is; a group of one has A_i = 0, where the code gives it R.   Elsewhere: absent from TRL and verl.   Changes: advantage.
"""

import torch
from torch import Tensor

from jumar.advantages.group import group_normalised
from jumar.algorithm import Algorithm
from jumar.ops.group import distinct, group_mean, group_size, one_of_each
from jumar.ops.ratio import ratio
from jumar.pieces import makes, piece, promises, reads
from jumar.surrogates.clipped import clipped
from jumar.types import RolloutBatch, Signals, State, TokenBatch


def answer_entropy(rollout: RolloutBatch) -> Tensor:
    """[B] bits: of the answers in the row's group, by how many responses gave them."""
    groups = rollout.group_ids
    alike = group_size(distinct(groups, rollout.answer_ids)).to(rollout.rewards)
    return -group_mean((alike / group_size(groups)).log2(), groups)


def full_discount(rollout: RolloutBatch) -> Tensor:
    """[B] per bit: what leaves 1/n of the reward of n responses whose answers all differ."""
    n = group_size(rollout.group_ids).to(rollout.rewards)
    return (1 - 1 / n) / n.clamp(min=2).log2()


@promises("group_centred")
@makes("prompt_advantages", "local_share")
@reads("answer_ids")
def local_and_global(
    rollout: RolloutBatch,
    state: State,
    *,
    lam: float | None,
    k: float,
    b: float,
    eps: float,
) -> tuple[Signals, State]:
    """[B]: GRPO's; beside it each prompt's own standing among prompts, and the share of the first."""
    signals, state = group_normalised(rollout, state, eps=eps)
    entropy, groups = answer_entropy(rollout), rollout.group_ids
    discount = full_discount(rollout) if lam is None else lam
    quality = group_mean(rollout.rewards, groups) * (1 - discount * entropy)
    first = one_of_each(groups)
    every, prompts = quality[first], first.sum()
    spread = every.std() if prompts > 1 else every.new_zeros(())
    share = torch.sigmoid(k * (entropy - b)).masked_fill(signals.advantages == 0, 0)
    columns = {
        "prompt_advantages": (quality - every.mean()) / (spread + eps),
        "local_share": share,
    }
    return Signals(advantages=signals.advantages, columns=columns), state


@reads("old_logprobs", "prompt_advantages", "local_share")
def blended_surrogate(
    tokens: TokenBatch, *, clip_low: float, clip_high: float, dual_clip: float | None
) -> Tensor:
    """[B, T]: two clipped surrogates, the response's and its prompt's."""
    r, share = ratio(tokens), tokens.local_share[:, None]
    local = clipped(r, tokens.advantages, clip_low, clip_high, dual_clip)
    prompt = tokens.prompt_advantages[:, None].expand_as(r)
    return share * local + (1 - share) * clipped(r, prompt, clip_low, clip_high, dual_clip)


def copo(
    *,
    lam: float | None = None,
    k: float = 1.0,
    b: float = 0.5,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = 3.0,
    eps: float = 1e-6,
) -> Algorithm:
    """`b` in bits: at that entropy both halves weigh the same; `lam` None follows the group's size."""
    return Algorithm(
        name="copo",
        advantage=piece(local_and_global, lam=lam, k=k, b=b, eps=eps),
        surrogate=piece(
            blended_surrogate, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
        ),
    )
