"""CGPO: sample the reference once for a baseline of each prompt, then train on calibrated rewards.

    stage 1    r_baseline(x) = mean_n r_n                n = `samples` responses of the reference
    stage 2    train(policy, steps) with it as the stored column `baseline_rewards`

For `cgpo_crpg` and `cgpo_crraft`. Stage 1 is done once for a set of prompts, a reference and a way
of sampling, and kept on disk.

Paper: Xu et al. 2024, The Perfect Blend: Redefining RLHF with Mixture of Judges, arXiv:2409.20370.
Departs: the baseline is the mean of several responses of the reference; the paper has the reward of
one given response to each prompt. One task, one set of judges, and no warm-up with DPO.
"""

import math

from jumar.engines.contract import Trainer
from jumar.pieces import makes


@makes("baseline_rewards")
def cgpo(trainer: Trainer, *, steps: int = 200, samples: int = 4, baseline_seed: int = 0) -> None:
    """One sample is the paper's single response; more of them make the baseline less noisy."""
    found = trainer.reference_rewards(samples=samples, seed=baseline_seed)
    baseline = {prompt: math.fsum(r) / len(r) for prompt, r in found.rewards.items()}
    trainer.train(steps=steps, values={"baseline_rewards": baseline})
