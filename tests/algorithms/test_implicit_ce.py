import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from jumar import algorithms
from jumar.types import TokenBatch

from .hand import gradient_of, loss_of, near, tokens


def pair(scale: float = 1.0, correct: tuple[bool, bool] = (True, False)) -> TokenBatch:
    """Log-ratios 0.4 and 0.2, and -1.0; times `scale`."""
    return tokens(
        [[-1.0, -2.0], [-4.0]],
        old_logprobs=[[-1.0 - 0.4 * scale, -2.0 - 0.2 * scale], [-4.0 + scale]],
        correct=list(correct),
    )


def test_by_hand() -> None:
    algorithm = algorithms.implicit_ce(beta=0.5)
    # right: s = 0.3, log(1 + e^-0.3) = 0.554355; wrong: s = -0.5, log(1 + e^-0.5) = 0.474077
    near(loss_of(algorithm, pair()), 0.514216)
    # beta (sigmoid(s) - correct) / 2: 0.25 * (-0.425557) for each token, and 0.25 * 0.377541
    near(gradient_of(algorithm, pair()), [[-0.106389, -0.106389], [0.094385, 0.0]])


def test_the_mean_over_tokens_by_hand() -> None:
    algorithm = algorithms.implicit_ce(beta=1.0, agg="mean")
    # right: s = 0.3 as above; wrong: s = -1, log(1 + e^-1) = 0.313262
    near(loss_of(algorithm, pair()), 0.433808)
    # half of (-0.425557) / 2 for each of two tokens; 0.268941 / 2 for the single one
    near(gradient_of(algorithm, pair()), [[-0.106389, -0.106389], [0.134471, 0.0]])


def test_a_sum_is_a_mean_with_beta_times_the_length() -> None:
    batch = tokens(
        [[-1.0, -2.0, -3.0], [-4.0, -1.0, -2.0]],
        old_logprobs=[[-1.5, -2.2, -2.0], [-4.2, -0.5, -2.0]],
        correct=[True, False],
    )
    sums, means = algorithms.implicit_ce(beta=0.1), algorithms.implicit_ce(beta=0.3, agg="mean")
    near(loss_of(sums, batch), loss_of(means, batch).detach(), atol=1e-12)
    near(gradient_of(sums, batch), gradient_of(means, batch), atol=1e-12)


def test_wrong_responses_may_weigh_more_to_unlearn_by_hand() -> None:
    algorithm = algorithms.implicit_ce(beta=0.5, negative_weight=3.0)
    near(loss_of(algorithm, pair()), (0.554355 + 3 * 0.474077) / 2)
    near(gradient_of(algorithm, pair())[1, 0], 3 * 0.094385)


def test_the_anchor_is_the_sampling_policy_or_the_reference() -> None:
    batch = pair().with_columns(ref_logprobs=pair().logprobs.detach())
    assert algorithms.implicit_ce().reads == {"old_logprobs"}
    anchored = algorithms.implicit_ce(anchor="ref_logprobs", kl_coef=0.1)
    assert anchored.reads == {"ref_logprobs"}
    near(loss_of(anchored, batch), 0.693147)  # at its anchor every bet is even, and the KL is 0


def test_the_penalty_is_k2_towards_the_anchor_by_hand() -> None:
    plain, held = (algorithms.implicit_ce(kl_coef=coef) for coef in (0.0, 0.1))
    # means within responses of u^2 / 2: (0.08 + 0.02) / 2 and 0.5; over two responses 0.275
    near(loss_of(held, pair()) - loss_of(plain, pair()), 0.0275)


def test_from_the_anchor_right_and_wrong_are_pushed_apart_alike() -> None:
    # beta (1/2 - correct) / 2: 0.05 * 0.5 / 2
    near(gradient_of(algorithms.implicit_ce(), pair(0.0)), [[-0.0125, -0.0125], [0.0125, 0.0]])


def test_a_response_that_is_told_apart_is_let_go_and_a_wrong_bet_never() -> None:
    """The soft clip: the slope falls with the margin from beta / 2 to 0, or rises to beta."""
    algorithm = algorithms.implicit_ce(beta=1.0)
    margins = [0.0, 2.0, 4.0, 8.0, 16.0]
    told, fooled = (
        torch.stack([gradient_of(algorithm, pair(m, correct)).abs()[0, 0] for m in margins])
        for correct in [(True, False), (False, True)]
    )
    assert (told.diff() < 0).all()
    assert (fooled.diff() > 0).all()
    near(told[[0, -1]], [0.25, 0.0], atol=1e-4)
    near(fooled[[0, -1]], [0.25, 0.5], atol=1e-4)


@pytest.mark.parametrize("scale", [0.0, 1.0, -3.0])
def test_it_is_the_released_codes_loss_on_the_policy(scale: float) -> None:
    """PRIME's compute_ce_dpo_loss_rm: a sigmoid, then a binary cross-entropy, mean over rows."""
    batch = pair(scale)
    total = ((batch.logprobs - batch.old_logprobs) * batch.mask).sum(dim=1).detach()
    theirs = binary_cross_entropy((0.05 * total).sigmoid(), batch.correct.double())
    near(loss_of(algorithms.implicit_ce(), batch), theirs, atol=1e-12)


def test_a_bet_that_is_lost_by_far_still_has_a_slope_where_the_sigmoid_saturates() -> None:
    batch = tokens([[-1.0]], old_logprobs=[[-4001.0]], correct=[False])
    near(loss_of(algorithms.implicit_ce(), batch), 200.0)  # beta * 4000
    near(gradient_of(algorithms.implicit_ce(), batch), [[0.05]])
    leaf = torch.tensor([4000.0], requires_grad=True)
    theirs = binary_cross_entropy((0.05 * leaf).sigmoid(), torch.zeros(1))
    (gradient,) = torch.autograd.grad(theirs, leaf)
    assert theirs == 100  # torch stops there
    assert gradient == 0
