"""A world small enough to enumerate: two prompts, three tokens, responses of one or two tokens.

Token 0 ends a response. The policy is a table of logits, one row per prefix, and so is the critic;
a response is rewarded if it is its prompt's target. Everything that an algorithm may declare is
computed exactly: reference, teacher, divergences over the vocabulary, values, V*.
"""

import torch
from torch import Tensor

from jumar.algorithm import Algorithm, compute_signals, policy_loss, reduced_stats
from jumar.ops.divergence import Divergence
from jumar.ops.logprobs import Head, divergence, position_spread
from jumar.programs.a_star_po import optimal_value
from jumar.types import LossScale, RolloutBatch, State, TokenBatch

VOCABULARY, PROMPTS, SAMPLES = 3, 2, 8
TARGETS = torch.tensor([[1, 2], [2, 1]])
PREFIXES = 1 + VOCABULARY  # nothing yet, or one token


class Toy:
    """A tabular policy with its critic, and an engine around them in the order of a real step."""

    def __init__(
        self, algorithm: Algorithm, *, seed: int = 0, rows: str = "sampled", all_right: bool = False
    ) -> None:
        self.algorithm, self.rows, self.seed, self.all_right = algorithm, rows, seed, all_right
        self.reads, self.divergences = algorithm.reads - {"values"}, algorithm.divergences
        self.generator = torch.Generator().manual_seed(seed)
        shape = (PROMPTS, PREFIXES, VOCABULARY)
        self.policy = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
        self.critic = torch.zeros(shape[:2], dtype=torch.float64, requires_grad=True)
        self.reference = self.policy.detach().clone()
        self.teacher = self.reference.clone()
        for prompt, (first, second) in enumerate(TARGETS.tolist()):
            self.teacher[prompt, 0, first] = self.teacher[prompt, 1 + first, second] = 4.0
        self.optimiser = torch.optim.Adam([self.policy, self.critic], lr=0.1)
        self.state: State = algorithm.init_state()

    def target_probability(self) -> float:
        """The chance of the rewarded response, exactly, as a mean over prompts."""
        tokens = TARGETS
        where = torch.stack([torch.zeros(PROMPTS, dtype=torch.long), 1 + tokens[:, 0]], dim=1)
        table = self.policy.detach().log_softmax(dim=-1)
        chosen = table[torch.arange(PROMPTS)[:, None], where, tokens]
        return float(chosen.sum(dim=1).exp().mean())

    def step(self, number: int, updates: int = 2) -> None:
        """One rollout: sample, score, keep, columns, signals, updates."""
        rollout = self.scored(number)
        kept = self.algorithm.keep(rollout)
        if not kept.any():
            return
        rollout = rollout.select(kept)
        rollout = rollout.with_columns(**self.columns(rollout))
        signals, self.state = compute_signals(self.algorithm, rollout, self.state)
        fixed = rollout.with_columns(advantages=signals.advantages, **signals.columns)
        for _ in range(updates):
            tokens = TokenBatch(columns=fixed.columns, step=number, seed=self.seed)
            tokens = tokens.with_columns(**self.live(rollout))
            scale = LossScale.of(tokens, reduced_stats(self.algorithm, [tokens]))
            self.optimiser.zero_grad()
            policy_loss(self.algorithm, tokens, scale).loss.backward()
            self.optimiser.step()

    def scored(self, number: int) -> RolloutBatch:
        """Responses with their rewards: sampled, or given as demonstrations or as pairs."""
        samples = 2 if self.rows == "pairs" else SAMPLES
        prompt = torch.arange(PROMPTS).repeat_interleave(samples)
        tokens = self.sample(self.policy.detach(), prompt)
        if self.rows == "demonstrations":
            tokens = TARGETS[prompt]
        elif self.rows == "pairs":
            tokens[::2] = TARGETS
        ended = tokens[:, :1] == 0
        correct = (tokens == TARGETS[prompt]).all(dim=1) | self.all_right
        return RolloutBatch.build(
            step=number,
            stage_step=number,
            seed=self.seed,
            token_ids=tokens,
            mask=torch.cat([torch.ones_like(ended), ~ended], dim=1),
            truncated=torch.zeros_like(correct),
            scores=correct.double(),
            correct=correct,
            rewards=correct.double(),
            group_ids=prompt,
            prompt_ids=prompt + 1000,
            sample_ids=torch.arange(samples).repeat(PROMPTS),
        )

    def sample(self, logits: Tensor, prompt: Tensor) -> Tensor:
        first = torch.multinomial(logits[prompt, 0].softmax(-1), 1, generator=self.generator)[:, 0]
        after = logits[prompt, 1 + first].softmax(-1)
        return torch.stack(
            [first, torch.multinomial(after, 1, generator=self.generator)[:, 0]], dim=1
        )

    def columns(self, rollout: RolloutBatch) -> dict[str, Tensor]:
        """What the algorithm declares besides the columns that carry a gradient."""
        made = {
            "old_logprobs": lambda: self.logprobs(self.policy, rollout),
            "rollout_logprobs": lambda: self.logprobs(self.policy, rollout),
            "ref_logprobs": lambda: self.logprobs(self.reference, rollout),
            "teacher_logprobs": lambda: self.logprobs(self.teacher, rollout),
            "old_values": lambda: self.values(rollout),
            "old_entropies": lambda: self.exact(Divergence(kind="entropy"), rollout),
            "answer_ids": lambda: rollout.token_ids[:, 0] * VOCABULARY + rollout.token_ids[:, 1],
            "cut_values": lambda: self.prefix_values(rollout),
            "reward_parts": lambda: self.parts(rollout),
            "optimal_values": lambda: self.optimal_values(rollout),
            "baseline_rewards": lambda: torch.full_like(rollout.rewards, 1 / 9),
            "budgets": lambda: 1.0 + rollout.sample_ids % 2,
            "position_spread": lambda: self.spread(rollout),
            "tool_calls": lambda: rollout.mask.sum(dim=1) - 1,
            "signal": lambda: (
                self.logprobs(self.teacher, rollout) - self.logprobs(self.reference, rollout)
            ),
        }
        with torch.no_grad():
            return {name: made[name]() for name in self.reads}

    def prefix_values(self, rollout: RolloutBatch) -> Tensor:
        """[B, 2]: the chance of the target before the first token, and after it."""
        table, prompt = self.policy.softmax(dim=-1), rollout.group_ids
        first, second = TARGETS[prompt].unbind(dim=1)
        then = table[prompt, 1 + first, second]
        begun = rollout.token_ids[:, 0] == first
        return torch.stack([table[prompt, 0, first] * then, then.where(begun, 0.0)], dim=1)

    def parts(self, rollout: RolloutBatch) -> Tensor:
        """[B, 3]: each token right, and both of them."""
        right = rollout.token_ids == TARGETS[rollout.group_ids]
        return torch.cat([right, right.all(dim=1, keepdim=True)], dim=1).double()

    def live(self, rollout: RolloutBatch) -> dict[str, Tensor]:
        """The columns with gradient: log-probs, values, requested divergences."""
        live = {"logprobs": self.logprobs(self.policy, rollout), "values": self.values(rollout)}
        requested = {d.column: self.exact(d, rollout) for d in self.divergences}
        return {**live, **requested}

    def where(self, rollout: RolloutBatch) -> tuple[Tensor, Tensor]:
        """[B, 1] and [B, T]: the row of the table that each token was drawn from."""
        first = rollout.token_ids[:, 0]
        return rollout.group_ids[:, None], torch.stack([torch.zeros_like(first), 1 + first], dim=1)

    def logprobs(self, logits: Tensor, rollout: RolloutBatch) -> Tensor:
        table = logits.log_softmax(dim=-1)[self.where(rollout)]
        return table.gather(-1, rollout.token_ids[..., None])[..., 0]

    def values(self, rollout: RolloutBatch) -> Tensor:
        return self.critic[self.where(rollout)]

    def exact(self, request: Divergence, rollout: RolloutBatch) -> Tensor:
        """[B, T] nats: logits are hidden states of an identity head."""
        head = Head(torch.eye(VOCABULARY, dtype=torch.float64))
        other = self.teacher if request.target == "teacher" else self.reference
        where = self.where(rollout)
        flat = divergence(
            self.policy[where].flatten(0, 1),
            head,
            other[where].flatten(0, 1),
            head,
            kind=request.kind,
            beta=request.beta,
            top_k=request.top_k or 0,
        )
        return flat.view(rollout.token_ids.shape)

    def spread(self, rollout: RolloutBatch) -> Tensor:
        """[B, T] nats: how far apart a prompt's next-token distributions are at each position."""
        head = Head(torch.eye(VOCABULARY, dtype=torch.float64))
        logits, spread = self.policy[self.where(rollout)], torch.zeros(rollout.mask.shape).double()
        for prompt in range(PROMPTS):
            rows, mask = rollout.group_ids == prompt, rollout.mask
            spread[rows] = position_spread(logits[rows][mask[rows]], head, mask[rows])
        return spread * rollout.mask

    def optimal_values(self, rollout: RolloutBatch) -> Tensor:
        """[B]: V* from 64 responses of the reference to each prompt."""
        prompt = torch.arange(PROMPTS).repeat_interleave(64)
        right = (self.sample(self.reference, prompt) == TARGETS[prompt]).all(dim=1)
        rewards = right.double().view(PROMPTS, 64).tolist()
        found = [optimal_value(row, beta=0.5) for row in rewards]
        values = torch.tensor(found, dtype=torch.float64)
        return values[rollout.group_ids]
