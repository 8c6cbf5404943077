"""verl's own Ray trainer, as a user starts it: each optimiser step is ours on the same batch.

Two of the three runs lose a process afterwards, which has to be told, and to end them.
"""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import runs
import small
import torch
import watch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from jumar import algorithms
from jumar.algorithm import Algorithm, compute_signals, policy_loss
from jumar.engines.local.forward import response_logprobs
from jumar.engines.local.sampler import Sampling
from jumar.engines.local.stored import FixedBatch, write_column
from jumar.programs.a_star_po import optimal_value
from jumar.tasks.task import Example
from jumar.types import LossScale, RolloutBatch, TokenBatch

GROUPS, RESPONSES, STEPS = 4, 8, watch.STEPS  # all groups tied: one run in 10^8
NO_HANG = 30  # seconds from a fault to the end of the run
LOSS, GRADIENT = 1e-5, 1e-4  # of float32 on both sides
ROOT = Path(__file__).parents[2]


def rows(kept: Mapping[str, Any], name: str) -> Tensor:
    """[B, T] of a field that verl keeps without padding."""
    return torch.nn.utils.rnn.pad_sequence(kept["batch"][name], batch_first=True)


def rollout(kept: Mapping[str, Any], step: int) -> tuple[RolloutBatch, list[list[int]]]:
    """What verl sampled in this step, read from its own fields and none of the adapter's."""
    batch = kept["batch"]
    mask, uids = rows(kept, "response_mask").bool(), batch["uid"]
    scores = torch.stack([row.sum() for row in batch["rm_scores"]])
    texts = [messages[0]["content"] for messages in batch["raw_prompt"]]
    lengths = torch.tensor([len(row) for row in batch["responses"]])
    ended = torch.tensor([bool(row[-1] == 1) for row in batch["responses"]])
    names = {"ref_logprobs": "ref_log_prob", "rollout_logprobs": "rollout_log_probs"}
    made = RolloutBatch.build(
        step=step, stage_step=step,
        token_ids=rows(kept, "responses"),
        mask=mask,
        truncated=(lengths == small.RESPONSE) & ~ended,
        scores=scores,
        rewards=scores,
        correct=scores >= 1,
        group_ids=torch.tensor([sorted(set(uids)).index(uid) for uid in uids]),
        prompt_ids=torch.tensor([Example(prompt=text).prompt_id for text in texts]),
        sample_ids=torch.arange(len(uids)),
        **{ours: rows(kept, name) for ours, name in names.items() if name in batch},
    )  # fmt: skip
    return made, [row.tolist() for row in batch["prompts"]]


def policy(kept: Mapping[str, Any], home: Path) -> Any:
    model = AutoModelForCausalLM.from_pretrained(home / "model", dtype=torch.float32).eval()
    model.load_state_dict(kept["weights"])
    return model


def assert_ours(
    kept: Mapping[str, Any], algorithm: Algorithm, batch: RolloutBatch, prompts: Any, home: Path
) -> None:
    """The worker's loss and gradients are those of the algorithm on the whole batch at once."""
    model = policy(kept, home)
    logprobs = response_logprobs(model, prompts, batch.token_ids, batch.mask, sampling=Sampling())
    columns = dict(batch.columns)
    columns.setdefault("old_logprobs", logprobs.detach())
    tokens = TokenBatch(columns=columns, step=batch.step).with_columns(logprobs=logprobs)
    output = policy_loss(algorithm, tokens, LossScale.of(batch))
    output.loss.backward()
    assert abs(kept["loss"] - output.loss.item()) < LOSS
    theirs = kept["gradients"]
    largest = max(float(p.grad.abs().max()) for p in model.parameters())
    assert largest > 1e-4, "a comparison of zeros shows nothing"
    for name, parameter in model.named_parameters():
        assert (theirs[name] - parameter.grad).abs().max() < GRADIENT * largest, name


def with_signals(algorithm: Algorithm, batch: RolloutBatch, prompts: Any) -> Any:
    kept = algorithm.keep(batch).nonzero()[:, 0]
    signals, _ = compute_signals(algorithm, batch.select(kept), algorithm.init_state())
    batch = batch.select(kept).with_columns(**signals.columns, advantages=signals.advantages)
    return batch, [prompts[row] for row in kept.tolist()]


def settings(home: Path, *, steps: int) -> list[str]:
    return small.settings(home, prompts=GROUPS, responses=RESPONSES, steps=steps)


def assert_told(run: runs.Run, *words: str) -> None:
    """The run ended soon after the fault, and said what it was."""
    assert run.code != 0
    assert all(word in run.log for word in words), run.log[-6000:]
    assert run.seconds < NO_HANG, run.seconds


def lines(file: str) -> list[str]:
    return [line for line in (ROOT / file).read_text().splitlines() if line[:1] != "#"]


def test_owpo_is_at_most_five_lines_of_verls_quickstart() -> None:
    before, after = lines("examples/verl_ppo.sh"), lines("examples/verl_owpo.sh")
    found = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    changes = [line for line in found if not line.startswith("@@")]
    assert 0 < len(changes) <= 5, changes
    assert set(changes) <= set(lines("docs/verl.md"))


def test_owpo_reads_verls_reference() -> None:
    with runs.home(GROUPS * STEPS) as (home, _):
        run = runs.train(home, settings(home, steps=STEPS))
        assert run.code == 0, run.log[-6000:]
        steps = run.steps
        assert len(steps) == STEPS
        first = policy(steps[0], home)
        for number, kept in enumerate(steps):
            batch, prompts = rollout(kept, number)
            found = response_logprobs(
                first, prompts, batch.token_ids, batch.mask, sampling=Sampling()
            )
            torch.testing.assert_close(found.detach(), batch.ref_logprobs, rtol=0, atol=1e-4)
            algorithm = algorithms.get("owpo")
            batch, prompts = with_signals(algorithm, batch, prompts)
            assert_ours(kept, algorithm, batch, prompts, home)
        assert any((steps[0]["weights"][n] != w).any() for n, w in steps[1]["weights"].items())


def test_a_star_po_reads_the_rewards_of_its_first_stage_and_does_not_wait_for_the_dead() -> None:
    with runs.home(GROUPS * STEPS) as (home, texts):
        rewards = {
            Example(prompt=text).prompt_id: [0.0, 1.0, (place % 3) / 2]
            for place, text in enumerate(texts)
        }
        file = home / "rewards.safetensors"
        ids, numbers = torch.tensor(list(rewards)), torch.tensor(list(rewards.values()))
        save_file({"prompt_ids": ids, "rewards": numbers}, file)
        chosen = ["jumar.algorithm.name=a_star_po", f"+jumar.values.file={file}"]
        asked = [*settings(home, steps=STEPS + 1), *chosen]
        run = runs.train(home, asked, fault="ray::AgentLoopWorker")
        assert_told(run, "verl's agent loop died while the trainer waited", "start again: verl")
        assert len(run.steps) == STEPS
        for number, kept in enumerate(run.steps):
            batch, prompts = rollout(kept, number)
            values = [optimal_value(rewards[i], beta=0.5) for i in batch.prompt_ids.tolist()]
            batch = batch.with_columns(optimal_values=torch.tensor(values))
            algorithm = algorithms.get("a_star_po")
            batch, prompts = with_signals(algorithm, batch, prompts)
            assert_ours(kept, algorithm, batch, prompts, home)


def fixed_batch(home: Path, texts: list[str]) -> FixedBatch:
    """Responses to each prompt, some of them right, and their log-probs under the policy."""
    draw, count = torch.Generator().manual_seed(0), len(texts) * RESPONSES
    lengths = torch.randint(1, small.RESPONSE + 1, (count,), generator=draw)
    mask = torch.arange(small.RESPONSE) < lengths[:, None]
    tokens = torch.randint(3, 16, mask.shape, generator=draw)
    prompts = [
        [small.CHARACTERS.index(c) + len(small.SPECIAL) for c in text]
        for text in texts
        for _ in range(RESPONSES)
    ]
    correct = torch.rand(count, generator=draw) < 0.5
    model = AutoModelForCausalLM.from_pretrained(home / "model", dtype=torch.float32).eval()
    old = response_logprobs(model, prompts, tokens.masked_fill(~mask, 0), mask, sampling=Sampling())
    groups = torch.arange(len(texts)).repeat_interleave(RESPONSES)
    batch = RolloutBatch.build(
        token_ids=tokens, mask=mask, truncated=torch.zeros(count).bool(),
        scores=correct.float(), correct=correct, rewards=correct.float(),
        group_ids=groups, prompt_ids=1000 + groups,
        sample_ids=torch.arange(RESPONSES).repeat(len(texts)),
        old_logprobs=old.detach() + 0.1 * torch.randn(mask.shape, generator=draw),
        rollout_logprobs=old.detach(),
    )  # fmt: skip
    return FixedBatch(batch=batch, prompts=prompts, lines=[json.dumps({})] * count)


def test_erpds_second_stage_reads_a_stored_signal_and_ends_with_its_worker() -> None:
    with runs.home(GROUPS * STEPS) as (home, texts):
        fixed = fixed_batch(home, texts)
        signal = torch.randn(fixed.batch.mask.shape, generator=torch.Generator().manual_seed(1))
        fixed.write(home / "batch")
        write_column(home / "signal", "signal", signal)
        asked = [
            *settings(home, steps=STEPS + 1),
            "jumar.algorithm.name=erpd_student",
            f"+jumar.batch={home / 'batch'}",
            f"+jumar.signal={home / 'signal'}",
            "trainer.test_freq=2",
        ]
        run = runs.train(home, asked, fault="ray::WorkerDict")
        assert_told(run, "ActorDiedError", "worker process has died")
        assert len(run.steps) == STEPS
        algorithm = algorithms.get("erpd_student")
        whole = fixed.batch.with_columns(signal=signal)
        whole, prompts = with_signals(algorithm, whole, fixed.prompts)
        seen = []
        for kept in run.steps:
            answers = [tuple(row.tolist()) for row in kept["batch"]["input_ids"]]
            stored = [
                tuple([*prompt, *whole.token_ids[row][whole.mask[row]].tolist()])
                for row, prompt in enumerate(prompts)
            ]
            chosen = [stored.index(row) for row in answers]
            seen += chosen
            batch = whole.select(torch.tensor(chosen))
            assert_ours(kept, algorithm, batch, [prompts[row] for row in chosen], home)
        assert sorted(seen) == list(range(len(whole)))  # an epoch: each response once
