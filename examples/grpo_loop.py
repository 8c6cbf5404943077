"""GRPO in a loop of your own: jumar supplies the algorithm, you keep everything else.

    python examples/grpo_loop.py --steps 30

Two verbs are all that crosses the border: `compute_signals` once per rollout, `policy_loss` once
per micro-batch. Any other algorithm of the folder runs in this loop unchanged, if what it reads is
here.
"""

import argparse

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from jumar import algorithms, tasks
from jumar.algorithm import Algorithm, compute_signals, policy_loss
from jumar.engines.local.models import load_model
from jumar.tasks import Example
from jumar.types import LossScale, RolloutBatch, TokenBatch
from jumar.verifiers import ScoringPool

TASK = "gym:chain_sum?min_terms=2&max_terms=3&min_digits=1&max_digits=1"


def response_logprobs(
    model: PreTrainedModel, tokens: Tensor, attention: Tensor, start: int
) -> Tensor:
    """[B, T] nats: log-probs of tokens[:, start:], with gradient."""
    positions = (attention.cumsum(dim=1) - 1).clamp(min=0)  # prompts are padded on the left
    logits = model(tokens, attention_mask=attention, position_ids=positions).logits
    logprobs = logits[:, start - 1 : -1].log_softmax(dim=-1)
    return logprobs.gather(-1, tokens[:, start:, None])[..., 0]


def rollout(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: list[Example],
    pool: ScoringPool, template: tasks.PromptTemplate, *, group: int, step: int,
) -> tuple[RolloutBatch, Tensor, Tensor, int]:  # fmt: skip
    """Sample `group` responses to each example and score them."""
    rows = [example for example in examples for _ in range(group)]
    tokenizer.padding_side = "left"
    prompts = tokenizer([template.text(row) for row in rows], padding=True, return_tensors="pt")
    start = prompts.input_ids.shape[1]
    tokens = model.generate(**prompts, do_sample=True, top_k=0, max_new_tokens=48)
    responses = tokens[:, start:]
    ended = (responses == tokenizer.eos_token_id).long().cumsum(dim=1)
    mask = (ended == 0) | ((ended == 1) & (responses == tokenizer.eos_token_id))
    texts = tokenizer.batch_decode(responses * mask, skip_special_tokens=True)
    scores = pool.score(texts, rows)
    correct = torch.tensor([score.correct for score in scores])
    batch = RolloutBatch.build(
        step=step,
        token_ids=responses,
        mask=mask,
        truncated=~(responses == tokenizer.eos_token_id).any(dim=1),
        scores=torch.tensor([score.score for score in scores]),
        correct=correct,
        rewards=correct.float(),
        group_ids=torch.arange(len(examples)).repeat_interleave(group),
        prompt_ids=torch.tensor([row.prompt_id for row in rows]),
        sample_ids=torch.arange(group).repeat(len(examples)),
    )
    return batch, tokens, torch.cat([prompts.attention_mask, mask.long()], dim=1), start


def train_step(
    algorithm: Algorithm, model: PreTrainedModel, optimiser: torch.optim.Optimizer,
    batch: RolloutBatch, tokens: Tensor, attention: Tensor, start: int,
) -> float:  # fmt: skip
    """One optimiser step on one rollout; the loss."""
    signals, _ = compute_signals(algorithm, batch, {})
    logprobs = response_logprobs(model, tokens, attention, start)
    columns = {**batch.columns, **signals.columns, "advantages": signals.advantages}
    columns |= {"logprobs": logprobs, "old_logprobs": logprobs.detach()}  # one update: the same
    output = policy_loss(algorithm, TokenBatch.build(**columns), LossScale.of(batch))
    optimiser.zero_grad()
    output.loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(output.loss.detach())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--model", default="tiny")
    options = parser.parse_args()

    torch.manual_seed(0)
    model, tokenizer = load_model(options.model)
    task = tasks.get(TASK)
    algorithm = algorithms.grpo(kl_coef=0.0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    with ScoringPool(task.verifier) as pool:
        for step in range(options.steps):
            first = step * options.prompts % (len(task.train) - options.prompts)
            examples = list(task.train[first : first + options.prompts])
            batch, *inputs = rollout(
                model, tokenizer, examples, pool, task.template, group=8, step=step
            )
            loss = train_step(algorithm, model, optimiser, batch, *inputs)
            print(f"step {step + 1}  reward {batch.rewards.mean():.3f}  loss {loss:+.4f}")


if __name__ == "__main__":
    main()
