"""One small case for every host, and what our own engine makes of it.

A host gets the same prompts, responses, rewards and weights, and goes its own way from there: its
collation, its pass for log-probs, its scaling, its two micro-batches. The rollout was sampled and
its `old_logprobs` are computed by `earlier`; the loss and its gradients are of `policy`, which has
moved on, so that ratios leave the clip range as they do in a second update on one rollout.

Imports torch, transformers and jumar only: it also runs where a host is installed and another is
not.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig

from jumar import algorithms
from jumar.algorithm import Algorithm
from jumar.engines.local.forward import response_logprobs
from jumar.engines.local.guard import Guard
from jumar.engines.local.micro_batches import work
from jumar.engines.local.models import new_critic
from jumar.engines.local.sampler import Sampling
from jumar.engines.local.update import Models, Updater
from jumar.engines.settings import EngineSettings
from jumar.tasks import Example
from jumar.types import RolloutBatch

VOCABULARY, TOOL, EOS, PAD = 64, 0, 1, 2  # the tool writes 0, as batches keep no foreign token
LIMIT = 8  # tokens of a response; one that has as many and no EOS is truncated
PROMPTS = ((5, 9, 3), (17, 4, 33, 8, 21), (40, 2), (11, 12, 50, 6, 7, 29))
QUESTIONS = tuple(f"prompt {number}" for number in range(len(PROMPTS)))  # for hosts that take text
# by group: mixed, all right, partial credit, all wrong
REWARDS = ((1.0, 0.0, 0.0, 1.0), (1.0,) * 4, (0.0, 1.0, 0.25, 0.5), (0.0,) * 4)
LENGTHS = ((4, 8, 2, 8), (1, 3, 6, 5), (8, 7, 3, 2), (6, 5, 4, 1))
TRUNCATED = ((0, 1), (2, 0))  # (group, sample): at the limit, and not ended
TOOL_OUTPUT = {(1, 3): (1, 2), (2, 1): (3,)}  # positions that a tool wrote, not the policy
# by reward: the two parts of which it is the mean; one verifier has no opinion on 0.5
PARTS = {0.0: (0.0, 0.0), 0.25: (0.5, 0.0), 0.5: (1.0, math.nan), 1.0: (1.0, 1.0)}
BY_PROMPT = {
    "optimal_values": (0.75, 1.0, 0.5, 0.25),
    "baseline_rewards": (0.0, 1.0, 0.5, 1.0),
    "budgets": (4, 0, 6, 8),
}
BY_RESPONSE = {
    "answer_ids": (7, 8, 8, 7, 7, 7, 7, 7, 5, 7, 6, 5, 1, 2, 1, 1),
    "tool_calls": (0, 2, 0, 1, 1, 0, 0, 3, 0, 1, 1, 0, 2, 0, 0, 0),
}
SETTINGS: dict[str, dict[str, Any]] = {  # where the defaults would not see short responses
    name: {"overlong_limit": LIMIT, "overlong_cache": 4} for name in ("dapo", "owpo", "sym_dapo")
} | {"dr_grpo": {"length": LIMIT}}


def algorithm(name: str) -> Algorithm:
    """The record of the folder's algorithm as every host runs it here."""
    return algorithms.get(name, **SETTINGS.get(name, {}))


@dataclass(frozen=True, kw_only=True)
class Case:
    """16 rows, group after group; four models and a critic, all of one tiny architecture."""

    prompts: list[list[int]]  # token ids, row by row
    rollout: RolloutBatch  # with every optional column that no model of ours computes
    policy: nn.Module
    earlier: nn.Module  # the policy before its first update on this rollout
    reference: nn.Module
    teacher: nn.Module
    critic: nn.Module


@dataclass(frozen=True, kw_only=True)
class Found:
    """One optimiser step: its loss, and the gradients of the policy's parameters by name."""

    loss: float
    gradients: dict[str, Tensor]


class Difference(NamedTuple):
    """How far apart two are."""

    loss: float  # absolute, or as a fraction of a loss above 1
    gradient: float  # the largest of any entry, as a fraction of the largest entry


def difference(a: Found, b: Found) -> Difference:
    """The largest differences; missing parameters are no agreement."""
    assert a.gradients.keys() == b.gradients.keys()
    largest = max(float(g.abs().max()) for g in b.gradients.values())
    assert largest > 1e-5, "a comparison of zeros shows nothing"
    gaps = (g.to(a.gradients[name]) - a.gradients[name] for name, g in b.gradients.items())
    return Difference(
        loss=abs(a.loss - b.loss) / max(1.0, abs(b.loss)),
        gradient=max(float(gap.abs().max()) for gap in gaps) / largest,
    )


def case(dtype: torch.dtype = torch.float64) -> Case:
    """The same numbers at each call."""
    policy, reference, teacher = (model(seed, dtype) for seed in (1, 2, 3))
    with random(4):
        earlier = model(1, dtype)
        for parameter in earlier.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        critic = new_critic(policy)
        nn.init.normal_(critic.score.weight, std=0.3)
        prompts, rollout = _rollout(earlier, dtype)
    return Case(
        prompts=prompts,
        rollout=rollout,
        policy=policy,
        earlier=earlier,
        reference=reference,
        teacher=teacher,
        critic=critic,
    )


def model(seed: int, dtype: torch.dtype) -> nn.Module:
    """A decoder of two layers with random weights, far enough from uniform to tell tokens apart."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        pad_token_id=PAD,
        bos_token_id=None,
        eos_token_id=EOS,
        tie_word_embeddings=False,
    )
    with random(seed):
        made: nn.Module = AutoModelForCausalLM.from_config(config)
    return made.to(dtype).eval()


def ours(algorithm: Algorithm, case: Case, *, parts: int = 2) -> Found:
    """The local engine's own optimiser step, of at most `parts` micro-batches."""
    rollout, rows = case.rollout, torch.arange(len(case.rollout))
    if algorithm.rows == "stored" and algorithm.unit == "group":
        rows = rows[rollout.sample_ids < 2]  # pairs
    rows = rows[algorithm.keep(rollout.select(rows))]
    kept, prompts = rollout.select(rows), [case.prompts[row] for row in rows.tolist()]
    updater = _Recorder(
        algorithm=algorithm,
        models=Models(
            policy=case.earlier,
            reference=case.reference,
            teachers=[case.teacher],
            critic=case.critic if algorithm.value_loss is not None else None,
        ),
        settings=_settings(algorithm, case.policy, kept, prompts, parts),
        optimisers=[torch.optim.SGD([*case.policy.parameters(), *case.critic.parameters()], lr=0)],
        directory=Path(),
    )
    batch, _, _ = updater.with_signals(updater.with_columns(kept, prompts), algorithm.init_state())
    updater.models.policy = case.policy
    updater.step(batch, prompts, torch.arange(len(batch)))
    gradients = {name: p.grad.clone() for name, p in case.policy.named_parameters()}
    return Found(loss=updater.loss, gradients=gradients)


@dataclass(slots=True, kw_only=True)
class _Recorder(Updater):
    """The engine's updater, adding up the losses of its micro-batches."""

    loss: float = 0.0

    @property
    def _guard(self) -> "_Listening":
        return _Listening(self.algorithm.name, self.directory, self)


@dataclass(frozen=True, slots=True)
class _Listening(Guard):
    recorder: _Recorder

    def check(self, what: str, value: Tensor, batch: RolloutBatch) -> None:
        if what == "loss":
            self.recorder.loss += value.item()
        Guard.check(self, what, value, batch)


def _settings(
    algorithm: Algorithm,
    model: nn.Module,
    kept: RolloutBatch,
    prompts: list[list[int]],
    parts: int,
) -> EngineSettings:
    """The smallest micro-batches of which there are at most `parts`; no gradient is clipped.

    Two epochs are announced, so that the engine computes `old_logprobs` before the first.
    """
    groups = kept.group_ids.tolist() if algorithm.unit == "group" else None
    limit = 1  # in tokens
    while len(list(work(model, prompts, kept.mask, limit, groups).micro_batches(limit))) > parts:
        limit += 1
    optimiser = {"micro_batch_tokens": limit, "max_grad_norm": torch.inf, "epochs": 2}
    return EngineSettings.model_validate({"optimiser": optimiser})


def _rollout(sampler: nn.Module, dtype: torch.dtype) -> tuple[list[list[int]], RolloutBatch]:
    count, rows = len(LENGTHS[0]), [(g, s) for g in range(4) for s in range(4)]
    lengths = torch.tensor(LENGTHS).flatten()
    before_end = torch.arange(LIMIT) < lengths[:, None]
    token_ids = torch.randint(3, VOCABULARY, before_end.shape)
    truncated = torch.tensor([row in TRUNCATED for row in rows])
    ended = (~truncated).nonzero()[:, 0]
    token_ids[ended, lengths[ended] - 1] = EOS
    mask = before_end.clone()
    for (group, sample), positions in TOOL_OUTPUT.items():
        mask[group * count + sample, list(positions)] = False
    token_ids = token_ids.masked_fill(~mask, TOOL)
    prompts = [list(PROMPTS[group]) for group, _ in rows]
    rewards = torch.tensor(REWARDS).flatten()
    old = response_logprobs(sampler, prompts, token_ids, mask, sampling=Sampling()).detach()
    noisy = old + 0.05 * torch.randn_like(old)
    group_ids = torch.arange(4).repeat_interleave(count)
    rollout = RolloutBatch.build(
        token_ids=token_ids,
        mask=mask,
        truncated=truncated,
        scores=rewards,
        correct=rewards == 1.0,
        rewards=rewards,
        group_ids=group_ids,
        prompt_ids=torch.tensor([Example(prompt=q).prompt_id for q in QUESTIONS])[group_ids],
        sample_ids=torch.arange(count).repeat(4),
        rollout_logprobs=noisy.float().to(dtype),  # float32 is all that hosts carry
        signal=torch.randn(mask.shape).to(dtype),
        cut_values=_cut_values(mask).to(dtype),
        reward_parts=torch.tensor([PARTS[reward] for reward in rewards.tolist()]),
        **{name: torch.tensor(values)[group_ids] for name, values in BY_PROMPT.items()},
        **{name: torch.tensor(values) for name, values in BY_RESPONSE.items()},
    )
    return prompts, rollout


def _cut_values(mask: Tensor) -> Tensor:
    """[B, T]: the worth of every third prefix, NaN between them."""
    cut = torch.arange(mask.shape[1]).expand(mask.shape) % 3 == 0
    return torch.where(cut, torch.randint(0, 5, mask.shape) / 4, math.nan)


@contextmanager
def random(seed: int) -> Iterator[None]:
    """Draws from a seed, and nobody else's state moves."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
