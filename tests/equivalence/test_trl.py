"""TRL 1.16.0: its trainers' loss code and ours on the same tensors, in float64."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from golden.batch import PAIRS, hashed_rollout, uniform
from jumar import algorithms
from jumar.algorithm import Algorithm, policy_loss
from jumar.ops.logprobs import Head, divergence
from jumar.ops.masked import response_mean, response_sum
from jumar.programs.a_star_po import optimal_value
from jumar.types import LossScale, TokenBatch

from .peers import Agreement, advantages_of, batch_of, ours, peer, theirs
from .trl_trainers import (
    EQUAL_GROUPS,
    WARNINGS,
    advantages_by,
    fused_outputs,
    policy_loss_of,
    policy_trainer,
    trainer,
)

PREFERENCES = {"prompt": ["a"], "chosen": [" b"], "rejected": [" c"]}

pytestmark = [pytest.mark.slow, *(pytest.mark.filterwarnings(w) for w in WARNINGS)]

GRPO_CASES: dict[str, tuple[Algorithm, dict[str, Any]]] = {
    "grpo": (
        algorithms.get("grpo"),
        {"loss_type": "grpo", "beta": 0.04, "use_bias_correction_kl": False},
    ),
    "grpo without kl": (algorithms.get("grpo", kl_coef=0.0), {"loss_type": "grpo"}),
    "dr_grpo": (algorithms.get("dr_grpo", length=7), {"loss_type": "dr_grpo"}),
    "dapo": (
        algorithms.get("dapo"),
        {"loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.28, "delta": 10.0},
    ),
    "gspo": (
        algorithms.get("gspo"),
        {
            "loss_type": "grpo", "importance_sampling_level": "sequence",
            "epsilon": 3e-4, "epsilon_high": 4e-4,
        },
    ),
    "gspo wide": (
        algorithms.get("gspo", clip_low=0.2, clip_high=0.28),
        {
            "loss_type": "grpo", "importance_sampling_level": "sequence",
            "epsilon": 0.2, "epsilon_high": 0.28,
        },
    ),
    "cispo": (algorithms.get("cispo"), {"loss_type": "cispo", "epsilon_high": 5.0}),
}  # fmt: skip


@pytest.mark.parametrize("case", GRPO_CASES)
def test_loss_and_gradient_are_those_of_the_grpo_trainer(
    case: str, tmp_path: Path, agree: Agreement
) -> None:
    algorithm, settings = GRPO_CASES[case]
    tokens = batch_of(algorithm, EQUAL_GROUPS)
    host = policy_trainer("GRPO", tmp_path, **settings)
    agree(
        f"{case} = TRL GRPOTrainer",
        ours(algorithm, tokens),
        theirs(policy_loss_of(host, tokens), tokens.logprobs),
    )


def test_the_weight_of_owpo_goes_into_trl_as_an_advantage_per_token(
    tmp_path: Path, agree: Agreement
) -> None:
    algorithm = algorithms.get("owpo")
    tokens = batch_of(algorithm, EQUAL_GROUPS)
    host = policy_trainer(
        "GRPO", tmp_path, loss_type="dapo", epsilon=0.2, epsilon_high=0.28, delta=10.0
    )
    weighted = algorithm.token_weight(tokens) * tokens.advantages
    agree(
        "owpo = TRL GRPOTrainer with advantages times our weight",
        ours(algorithm, tokens),
        theirs(policy_loss_of(host, tokens, advantages=weighted), tokens.logprobs),
    )


@pytest.mark.parametrize(
    ("algorithm", "kind", "settings"),
    [
        (algorithms.get("grpo", eps=1e-4), "GRPO", {}),
        (algorithms.get("dr_grpo"), "GRPO", {"scale_rewards": "none"}),
        (algorithms.get("rloo"), "RLOO", {}),
    ],
    ids=["grpo", "dr_grpo", "rloo"],
)
def test_advantages_are_those_of_the_trainer(
    algorithm: Algorithm, kind: str, settings: dict[str, Any], tmp_path: Path, agree: Agreement
) -> None:
    rollout = hashed_rollout(EQUAL_GROUPS, sorted({"logprobs", *algorithm.reads}))
    made = advantages_by(policy_trainer(kind, tmp_path, **settings), rollout.rewards)
    agree.numbers(
        f"{algorithm.name} advantages = TRL {kind}Trainer",
        advantages_of(algorithm, rollout),
        made[:, None] * rollout.mask,
        rtol=2e-8,  # TRL's n / (n - 1) is an integer division, so float32 whatever the rewards are
    )


def test_soft_overlong_punishment_is_ours_at_coefficient_one(agree: Agreement) -> None:
    punish = peer("trl.rewards").get_soft_overlong_punishment(5, 3)
    algorithm = algorithms.get("dapo", overlong_limit=5, overlong_cache=3, overlong_coef=1.0)
    rollout = hashed_rollout(EQUAL_GROUPS).with_columns(rewards=torch.zeros(12).double())
    ids = [[0] * int(n) for n in rollout.mask.sum(dim=1)]
    expected = torch.tensor(punish(ids), dtype=torch.float64)
    agree.numbers("dapo overlong = TRL soft overlong", algorithm.reward(rollout), expected)


def rloo_inputs(tokens: TokenBatch, old: Tensor) -> dict[str, Tensor]:
    return {"advantages": tokens.advantages[:, 0], "old_logps": response_sum(old, tokens.mask)}


def test_rloo_has_the_trainers_gradient_at_the_first_update(
    tmp_path: Path, agree: Agreement
) -> None:
    """The values differ: TRL's is -mean A times a ratio of 1, ours is -mean A log pi."""
    algorithm = algorithms.get("rloo")
    tokens = batch_of(algorithm, EQUAL_GROUPS, mask=torch.ones(12, 7).bool())
    host = policy_trainer("RLOO", tmp_path)
    inputs = rloo_inputs(tokens, tokens.logprobs.detach())
    mine = ours(algorithm, tokens)
    other = theirs(policy_loss_of(host, tokens, **inputs), tokens.logprobs)
    assert other.loss.abs() < 1e-15  # leave-one-out advantages sum to 0 over each group
    assert mine.loss.abs() > 0.1
    agree.gradients("rloo = TRL RLOOTrainer, at the first update", mine.gradient, other.gradient)


def test_after_the_first_update_trl_multiplies_rloo_by_a_clipped_ratio_of_responses(
    tmp_path: Path, agree: Agreement
) -> None:
    algorithm = algorithms.get("rloo")
    tokens = batch_of(algorithm, EQUAL_GROUPS)
    old = tokens.logprobs.detach() + 0.02 * (2 * uniform("moved", 12, 7) - 1)
    old[::3] += 0.1
    old[1::3] -= 0.1
    host = policy_trainer("RLOO", tmp_path)
    inputs = rloo_inputs(tokens, old)
    inputs["advantages"] = tokens.advantages.sum(dim=1) / tokens.mask.sum(dim=1)
    ratio = response_sum(tokens.logprobs.detach() - old, tokens.mask).exp()
    gain = inputs["advantages"] > 0
    clipped = (gain & (ratio > 1.2)) | (~gain & (ratio < 0.8))
    assert clipped.any()
    assert not clipped.all()
    mine = ours(algorithm, tokens)
    other = theirs(policy_loss_of(host, tokens, **inputs), tokens.logprobs)
    scaled = mine.gradient * (ratio * ~clipped)[:, None]
    agree.gradients("rloo x clipped ratio = TRL RLOOTrainer, later", scaled, other.gradient)


def in_pairs(tokens: TokenBatch) -> Tensor:
    """[B]: the rows as TRL has them, all chosen ones, then all rejected ones."""
    first_is_chosen = tokens.rewards[::2] > tokens.rewards[1::2]
    pairs = torch.arange(len(tokens)).view(-1, 2)
    chosen = torch.where(first_is_chosen, pairs[:, 0], pairs[:, 1])
    return torch.cat([chosen, pairs.sum(dim=1) - chosen])


def dpo_loss_of(
    folder: Path, tokens: TokenBatch, reference: Tensor, **settings: Any
) -> Callable[[Tensor], Tensor]:
    """The DPO trainer's loss on pairs of rows, as a function of the log-probs."""
    host = trainer("DPO", folder, PREFERENCES, **settings)
    order = in_pairs(tokens)
    mask = tokens.mask[order]
    host.ref_model = lambda **_: fused_outputs(reference[order], mask)
    shifted = torch.nn.functional.pad(mask.long(), (1, 0))  # one position of the prompt before
    inputs = {
        "input_ids": torch.nn.functional.pad(tokens.token_ids[order], (1, 0)),
        "attention_mask": torch.ones_like(shifted),
        "completion_mask": shifted,
    }

    def loss(logprobs: Tensor) -> Tensor:
        value: Tensor = host._compute_loss(
            lambda **_: fused_outputs(logprobs[order], mask), inputs, return_outputs=False
        )
        return value

    return loss


def test_dpo_is_the_dpo_trainers_sigmoid_loss(tmp_path: Path, agree: Agreement) -> None:
    algorithm = algorithms.get("dpo")
    tokens = batch_of(algorithm, PAIRS, rewards=uniform("preference", 12))
    loss = dpo_loss_of(tmp_path, tokens, tokens.ref_logprobs, beta=0.1, loss_type=["sigmoid"])
    agree("dpo = TRL DPOTrainer", ours(algorithm, tokens), theirs(loss, tokens.logprobs))


def test_sppo_on_pairs_is_half_of_the_dpo_trainers_sppo_hard(
    tmp_path: Path, agree: Agreement
) -> None:
    """Its reference is our last policy. P is 3/4 and 1/4 here, 1 and 0 there: eta is doubled."""
    algorithm = algorithms.get("sppo", eta=8.0)
    tokens = batch_of(algorithm, PAIRS, rewards=uniform("preference", 12))
    loss = dpo_loss_of(tmp_path, tokens, tokens.old_logprobs, beta=0.25, loss_type=["sppo_hard"])
    agree(
        "2 sppo = TRL DPOTrainer sppo_hard",
        ours(algorithm, tokens),
        theirs(lambda logprobs: loss(logprobs) / 2, tokens.logprobs),
    )


def test_simpo_is_the_cpo_trainers_simpo(tmp_path: Path, agree: Agreement) -> None:
    algorithm = algorithms.get("simpo")
    tokens = batch_of(algorithm, PAIRS, rewards=uniform("preference", 12))
    settings = {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 0.0}
    host = trainer("cpo.CPO", tmp_path, PREFERENCES, **settings)
    order = in_pairs(tokens)

    def loss(logprobs: Tensor) -> Tensor:
        means = response_mean(logprobs, tokens.mask)[order]
        value: Tensor = host.cpo_loss(*means.chunk(2))[0].mean()
        return value

    agree("simpo = TRL CPOTrainer simpo", ours(algorithm, tokens), theirs(loss, tokens.logprobs))


@pytest.mark.parametrize(("name", "loss_type"), [("sft", "nll"), ("dft", "dft")])
def test_sft_and_dft_are_the_sft_trainers_losses_on_completions(
    name: str, loss_type: str, tmp_path: Path, agree: Agreement
) -> None:
    """TRL's tokenisation and collator say which tokens count; ours is the same mean of them."""
    rows = {"prompt": ["a b c", "a", "k l"], "completion": [" d e", " f g h i j", " m"]}
    host = trainer("SFT", tmp_path, rows, loss_type=loss_type, completion_only_loss=True)
    inputs = host.data_collator([host.train_dataset[i] for i in range(3)])
    mask = inputs["labels"][:, 1:] != -100
    assert mask.sum(dim=1).tolist() == [3, 6, 2]  # each completion and its <eos>, no prompt
    logprobs = -5 * uniform("sft", *mask.shape)

    def mine(leaf: Tensor) -> Tensor:
        tokens = TokenBatch.build(mask=mask, logprobs=leaf, group_ids=torch.arange(3))
        return policy_loss(algorithms.get(name), tokens, LossScale.of(tokens)).loss

    def trls(leaf: Tensor) -> Tensor:
        value: Tensor = host.compute_loss(lambda **_: fused_outputs(leaf, mask), dict(inputs))
        return value

    agree(f"{name} = TRL SFTTrainer {loss_type}", theirs(mine, logprobs), theirs(trls, logprobs))


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_divergences_are_gkds_generalised_jsd(beta: float, agree: Agreement) -> None:
    gkd = peer("trl.experimental.gkd").GKDTrainer
    student, teacher = (6 * uniform(name, 40, 23) for name in ("student", "teacher"))
    head = Head(torch.eye(23).double())
    kind = {0.0: "forward_kl", 1.0: "reverse_kl"}.get(beta, "jsd")
    agree(
        f"divergence {kind} beta={beta:g} = TRL GKDTrainer",
        theirs(
            lambda x: divergence(x, head, teacher, head, kind=kind, beta=beta).sum() / 40, student
        ),
        theirs(
            lambda x: gkd.generalized_jsd_loss(
                x[None], teacher[None], beta=beta, num_items_in_batch=40
            ),
            student,
        ),
    )


def test_opd_is_gkds_loss_at_beta_one(agree: Agreement) -> None:
    gkd = peer("trl.experimental.gkd").GKDTrainer
    algorithm = algorithms.get("opd")
    rollout = hashed_rollout(columns=["logprobs"])
    rows, length = rollout.mask.shape
    student, teacher = (6 * uniform(n, rows * length, 23) for n in ("student", "teacher"))
    head = Head(torch.eye(23).double())

    def mine(logits: Tensor) -> Tensor:
        column = divergence(logits, head, teacher, head, kind="reverse_kl").view(rows, length)
        tokens = TokenBatch.build(**rollout.columns, reverse_kl_teacher=column)
        return policy_loss(algorithm, tokens, LossScale.of(tokens)).loss

    def trls(logits: Tensor) -> Tensor:
        labels = torch.where(rollout.mask, rollout.token_ids, -100)
        shape = (rows, length, 23)
        value: Tensor = gkd.generalized_jsd_loss(
            logits.view(shape),
            teacher.view(shape),
            labels,
            beta=1,
            num_items_in_batch=rollout.mask.sum(),
        )
        return value

    agree("opd = TRL GKDTrainer, beta=1", theirs(mine, student), theirs(trls, student))


def a2po_trainer(folder: Path, **settings: Any) -> Any:
    rows = {"prompt": ["a", "b", "c"]}
    return trainer(
        "a2po.A2PO",
        folder,
        rows,
        max_completion_length=7,
        per_device_train_batch_size=3,
        **settings,
    )


def test_a_star_po_is_the_a2po_trainers_loss(tmp_path: Path, agree: Agreement) -> None:
    algorithm = algorithms.get("a_star_po")
    tokens = batch_of(algorithm)
    host = a2po_trainer(tmp_path, beta2=1e-3)
    inputs = {
        "input_ids": torch.nn.functional.pad(tokens.token_ids, (1, 0)),
        "attention_mask": torch.nn.functional.pad(tokens.mask.long(), (1, 0)),
        "logits_to_keep": 7,
        "ref_logps": response_sum(tokens.ref_logprobs, tokens.mask),
        "rewards": tokens.rewards,
        "v_star": tokens.optimal_values,
    }

    def loss(logprobs: Tensor) -> Tensor:
        host.chosen_logprobs = logprobs
        value: Tensor = host.compute_loss(host.model, inputs)
        return value

    agree("a_star_po = TRL A2POTrainer", ours(algorithm, tokens), theirs(loss, tokens.logprobs))


@pytest.mark.parametrize("beta", [0.05, 0.5, 10.0])
def test_the_optimal_value_is_the_a2po_trainers(
    beta: float, tmp_path: Path, agree: Agreement
) -> None:
    host = a2po_trainer(tmp_path, beta1=beta, num_value_samples=4, filter_all_incorrect=False)
    rewards = (uniform("value reward", 3, 4) < 0.4).double()
    rewards[0] = 0
    host.chosen_rewards = rewards.flatten()
    host._estimate_optimal_values()
    expected = torch.tensor([host._optimal_values[p] for p in "abc"], dtype=torch.float64)
    agree.numbers(
        f"optimal_value beta={beta:g} = TRL A2POTrainer",
        expected.new_tensor([optimal_value(row, beta=beta) for row in rewards.tolist()]),
        expected,
    )
