"""RiskPO: maximise the poor part of the distribution of scores, over bundles of several prompts.

    S_j   = sum of the rewards of the j-th response to each prompt of a bundle: a paper of several questions
    range = max(S_j - q_low, 0) - max(S_j - q_high, 0),  over tau_high - tau_low
    tail  = -max(q_low - S_j, 0),  over tau_low             q: quantiles of S, followed across rollouts
    A_j   = (mix * tail + range) / (mix + 1) / std of the bundle's S
    A_ij  = A_j d_i / sum_k d_k   with d_i = R_ij - mean of the prompt's R,  or A_j over the bundle's size

Above q_high nothing more is gained: what the policy masters stops pulling, what it fails at does not.

Paper: RiskPO: Risk-based Policy Optimization via Verifiable Reward for LLM Post-Training, arXiv:2510.00911.   Code: https://github.com/RTkenny/RiskPO, verl/trainer/ppo/core_algos.py and ray_trainer.py (65ec40c).
Departs: the settings are the released script's for DAPO-Math, clips, dual_clip = 3.0 and the mean over all tokens those of its run. The quantiles are followed across rollouts, as the paper has them; the released code notes them where its next step does not read them, so that each bundle has its own at every step. Prompts of equally many responses are bundled, by a draw; the code's in the order of the batch. The share d_i / sum d is used where its sum has the sign of A_j; the code uses it wherever the sum is not 0, and rewards wrong answers of a poor paper that is above q_low. Where all papers of a bundle score alike nothing is divided, the code divides by 1e-6. Left out: their other ways to share, to set a baseline and to seek risk.   Elsewhere: absent from TRL and verl.   Changes: advantage.
"""

import torch
from torch import Tensor

from jumar.algorithm import Algorithm
from jumar.ops.draws import row_hash
from jumar.ops.group import group_centred
from jumar.pieces import piece
from jumar.surrogates.clipped import clipped_surrogate
from jumar.types import RolloutBatch, Signals, State


def no_quantiles() -> State:
    """Before the first rollout every bundle has its own."""
    return {"quantiles": torch.zeros(0)}


def mixed_value_at_risk(
    rollout: RolloutBatch,
    state: State,
    *,
    bundle: int,
    tau_low: float,
    tau_high: float,
    mix: float,
    rate: float,
) -> tuple[Signals, State]:
    """[B]: each response's share of its paper's advantage."""
    taus = rollout.rewards.new_tensor([tau_low, tau_high])
    tracked = state["quantiles"].to(taus)
    distance = group_centred(rollout.rewards, rollout.group_ids)
    advantages = torch.zeros_like(rollout.rewards)
    scores = []
    for rows in papers(rollout, bundle):
        score = rollout.rewards[rows].sum(dim=1)
        quantiles = tracked if len(tracked) else _quantiles(score, taus)
        value = paper_advantage(score, quantiles, taus, mix)
        spread = score.std() if len(score) > 1 else score.new_zeros(())
        value = torch.where(spread > 0, value / (spread + 1e-6), value)
        advantages[rows] = shared(value, distance[rows])
        scores.append(score)
    every = torch.cat(scores)
    after = _quantiles(every, taus)
    if len(tracked):
        below = (every[None, :] < tracked[:, None]).to(taus).mean(dim=1)
        after = tracked + rate * (taus - below)
    return Signals(advantages=advantages), {"quantiles": after.cpu()}


def papers(rollout: RolloutBatch, bundle: int) -> list[Tensor]:
    """[papers, prompts] row numbers per bundle: column by column the responses to one prompt."""
    zero = torch.zeros_like(rollout.prompt_ids)
    draw = row_hash(rollout.seed, rollout.step, rollout.prompt_ids, zero)
    alike: dict[int, list[Tensor]] = {}  # prompts by how many responses they have
    for value in torch.unique(draw):
        rows = (draw == value).nonzero()[:, 0]
        alike.setdefault(len(rows), []).append(rows[rollout.sample_ids[rows].argsort()])
    return [
        torch.stack(prompts[at : at + bundle], dim=1)
        for prompts in alike.values()
        for at in range(0, len(prompts), bundle)
    ]


def _quantiles(scores: Tensor, taus: Tensor) -> Tensor:
    """[2]: interpolated."""
    found: Tensor = torch.quantile(scores.double(), taus.double())
    return found.to(taus)


def paper_advantage(scores: Tensor, quantiles: Tensor, taus: Tensor, mix: float) -> Tensor:
    """[papers]: rises with the score up to the upper quantile, and steeper below the lower one."""
    low, high = quantiles[0], quantiles[1]
    between = (scores - low).clamp(min=0) - (scores - high).clamp(min=0)
    middle = between / (taus[1] - taus[0] + 1e-6)
    tail = -(low - scores).clamp(min=0) / (taus[0] + 1e-6)
    return (mix * tail + middle) / (mix + 1)


def shared(value: Tensor, distance: Tensor) -> Tensor:
    """[papers, prompts]: by distance from the prompt's mean where that agrees with the value."""
    total = distance.sum(dim=1, keepdim=True)
    agrees = (total * value[:, None] > 0) & (total.abs() > 1e-6)
    part = torch.where(agrees, distance / total.masked_fill(~agrees, 1), 1 / distance.shape[1])
    return value[:, None] * part


def riskpo(
    *,
    bundle: int = 5,
    tau_low: float = 0.2,
    tau_high: float = 0.8,
    mix: float = 1.5,
    rate: float = 0.1,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = 3.0,
) -> Algorithm:
    """`bundle` in prompts; `rate` moves the quantiles towards what the rollout's scores say."""
    return Algorithm(
        name="riskpo",
        init_state=piece(no_quantiles),
        advantage=piece(
            mixed_value_at_risk,
            bundle=bundle,
            tau_low=tau_low,
            tau_high=tau_high,
            mix=mix,
            rate=rate,
        ),
        surrogate=piece(
            clipped_surrogate, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
        ),
    )
