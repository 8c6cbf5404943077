import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from jumar import algorithms
from jumar.algorithm import policy_loss
from jumar.schedules import linear
from jumar.types import LossScale, TokenBatch

from .hand import gradient_of, loss_of, near, tokens

RLSD, GRPO = algorithms.rlsd(), algorithms.grpo(kl_coef=0.0, clip_high=0.28)

# log pi, log pi_teacher, A          w, clipped to [0.8, 1.2]      (1 + w) / 2
CASES = [
    (-1.0, -0.9, 1.0),  # confirmed   exp(0.1) = 1.105171           1.052585
    (-1.0, -2.0, 1.0),  # doubted     exp(-1) -> 0.8                0.9
    (-1.0, -2.0, -1.0),  # confirmed  exp(1) -> 1.2                 1.1
    (-1.0, -0.9, -1.0),  # doubted    exp(-0.1) = 0.904837          0.952419
    (-1.0, -0.1, 0.0),  # no verdict  1                             1
]
WEIGHTS = [1.052585, 0.9, 1.1, 0.952419, 1.0]


def cases(rows: list[tuple[float, float, float]] = CASES, **changed: object) -> TokenBatch:
    policy, teacher, advantage = zip(*rows, strict=True)
    columns = {
        "old_logprobs": [[x] for x in policy],
        "teacher_logprobs": [[x] for x in teacher],
        "advantages": list(advantage),
    }
    return tokens([[x] for x in policy], **{**columns, **changed})


def test_weights_loss_and_gradient_by_hand() -> None:
    near(RLSD.token_weight(cases())[:, 0], WEIGHTS)
    # -1.052585 - 0.9 + 1.1 + 0.952419 = 0.099834; over five responses
    near(loss_of(RLSD, cases()), 0.019967)
    near(gradient_of(RLSD, cases())[:, 0], [-0.210517, -0.18, 0.22, 0.190484, 0.0])


def test_the_mixture_may_fade_to_plain_grpo() -> None:
    faded = algorithms.rlsd(mix=linear(0.5, 0.0, 60))

    def loss(step: int) -> Tensor:
        return policy_loss(faded, cases(), replace(LossScale.of(cases()), step=step)).loss

    plain = loss_of(GRPO, cases())
    near(loss(0), loss_of(RLSD, cases()).detach(), atol=1e-12)
    near(loss(30) - plain, (loss(0) - plain).detach() / 2, atol=1e-12)
    assert torch.equal(loss(60), plain)
    assert torch.equal(loss_of(algorithms.rlsd(mix=0.0), cases()), plain)


numbers, verdicts = st.floats(-9, -0.01), st.floats(-3, 3, allow_subnormal=False)


@given(rows=st.lists(st.tuples(numbers, numbers, verdicts), min_size=1, max_size=8))
@pytest.mark.parametrize("mix", [0.5, 1.0])
def test_the_teacher_never_turns_an_update_round(
    mix: float, rows: list[tuple[float, float, float]]
) -> None:
    """And an update is larger than GRPO's exactly where the teacher sides with the verifier."""
    algorithm, batch = algorithms.rlsd(mix=mix), cases(rows)
    ours, plain = gradient_of(algorithm, batch), gradient_of(GRPO, batch)
    assert torch.equal(ours.sign(), plain.sign())
    lead = batch.advantages.sign() * (batch.teacher_logprobs - batch.logprobs.detach())
    decided = lead.abs() > 1e-9
    weight = algorithm.token_weight(batch)
    assert torch.equal((weight > 1)[decided], (lead > 0)[decided])
    assert ((weight > 0.8 - 1e-12) & (weight < 1.2 + 1e-12)).all()


def test_in_full_and_around_a_reference_it_is_the_weight_of_owpo() -> None:
    full = algorithms.rlsd(mix=1.0, w_min=0.5, w_max=2.0)
    batch = cases(active=[True] * 5, ref_logprobs=[[x] for _, x, _ in CASES])
    assert torch.equal(full.token_weight(batch), algorithms.owpo().token_weight(batch))
    near(full.token_weight(batch)[1:3, 0], [0.5, 2.0])
    near(full.token_weight(batch)[0], [math.exp(0.1)])
