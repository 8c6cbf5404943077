"""COPO: beside the responses of a prompt, compare prompts; the less its answers agree, the more the responses count.

    H    = entropy in bits of the answers to the prompt           w = sigmoid(k (H - b)), 0 where R_i = 0
    A_i  = (R_i - mean_g R) / (std_g R + eps)                     B = (Q - mean of all Q) / (std of all Q + eps)
    Q    = mean_g R * (1 - lam * H), one per prompt               L = w clipped(A_i) + (1 - w) clipped(B)

Where all responses agree, A_i says nothing and w is small: the prompt is pushed up or down as a whole.
A wrong response moves with its prompt alone.

Paper: Han et al. 2025, COPO: Consistency-Aware Policy Optimization, arXiv:2508.04138.   Code: https://github.com/hijih/copo-code, verl/run_copo.sh and verl/trainer/ppo/core_algos.py (c15c75f).
Departs: nothing from the released run, "soft-with-zero" in its code, whose other ways to blend are left out. Its script has k = 5.0, b = 1.0, clip_low = clip_high = 0.2, the mean over responses and lam = 0.0; dual_clip = 3.0, eps = 1e-6 and the unbiased std are its code's. lam=None is the code's other Q: (1 - 1/n) / log2 n for n responses, so that 1/n of the reward is left where all answers differ. Answers are the same where their text is; a group of one has A_i = 0, where the code gives it R.   Elsewhere: absent from TRL and verl.   Changes: advantage.
"""

import torch
from torch import Tensor

from jumar.advantages.group import group_normalised
from jumar.aggregates import response_mean
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
    share = torch.sigmoid(k * (entropy - b)).masked_fill(rollout.rewards == 0, 0)
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
    lam: float | None = 0.0,
    k: float = 5.0,
    b: float = 1.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = 3.0,
    eps: float = 1e-6,
) -> Algorithm:
    """`b` in bits: at that entropy both halves weigh the same; `lam` per bit, None: by group size."""
    return Algorithm(
        name="copo",
        advantage=piece(local_and_global, lam=lam, k=k, b=b, eps=eps),
        surrogate=piece(
            blended_surrogate, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
        ),
        aggregate=piece(response_mean),
    )
