import math

import pytest
import torch
from torch import Tensor

from jumar import algorithms
from jumar.ops.logprobs import Head, divergence

from .hand import loss_of, near, tokens

HEAD = Head(torch.eye(2, dtype=torch.float64))
STUDENT, TEACHER = [0.5, 0.5], [0.9, 0.1]


def probabilities(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def column(student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """[N]: the engine's answer to gkd's request, played with an identity head."""
    (request,) = algorithms.gkd(beta=beta).divergences
    assert (request.kind, request.target, request.beta) == ("jsd", "teacher", beta)
    return divergence(student.log(), HEAD, teacher.log(), HEAD, kind="jsd", beta=request.beta)


def loss(student: list[float], teacher: list[float], beta: float) -> Tensor:
    answer = column(probabilities(student), probabilities(teacher), beta)
    name = algorithms.gkd(beta=beta).divergences[0].column
    return loss_of(algorithms.gkd(beta=beta), tokens([[-1.0]], **{name: answer[None]}))


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        # M = 0.7, 0.3: KL(T || M) = 0.9 * 0.251314 - 0.1 * 1.098612 = 0.116322,
        # KL(S || M) = 0.5 * (0.510826 - 0.336472) = 0.087177; half of their sum
        (0.5, 0.101749),
        # KL(T || S) = 0.9 log 1.8 + 0.1 log 0.2 = 0.529008 - 0.160944
        (0.0, 0.368064),
        # KL(S || T) = 0.5 log(5 / 9) + 0.5 log 5 = 0.5 * (1.609438 - 0.587787)
        (1.0, 0.510826),
    ],
)
def test_by_hand(beta: float, expected: float) -> None:
    near(loss(STUDENT, TEACHER, beta), expected)


def test_each_response_weighs_the_same_whatever_its_length() -> None:
    batch = tokens([[-1.0, -1.0], [-1.0]], **{"jsd0.5_teacher": [[0.1, 0.3], [0.6]]})
    near(loss_of(algorithms.gkd(), batch), 0.4)


def test_towards_its_ends_it_becomes_the_two_divergences() -> None:
    """What beta 0 and 1 stand for: the limits of L / beta and L / (1 - beta)."""
    near(loss(STUDENT, TEACHER, 1e-6) / 1e-6, loss(STUDENT, TEACHER, 0.0), atol=1e-5)
    near(loss(STUDENT, TEACHER, 1 - 1e-6) / 1e-6, loss(STUDENT, TEACHER, 1.0), atol=1e-5)


def test_it_is_bounded_where_both_divergences_are_not() -> None:
    """The reason for a mixture: a teacher that rules a token out costs no more than log 2."""
    for student, teacher in [(STUDENT, [1.0, 1e-300]), ([1.0, 1e-300], STUDENT)]:
        assert max(loss(student, teacher, 0.0), loss(student, teacher, 1.0)) > 300
        assert loss(student, teacher, 0.5) < math.log(2)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_only_at_the_teacher_there_is_nothing_to_learn(beta: float) -> None:
    logits = probabilities(TEACHER).log().requires_grad_()
    (gradient,) = torch.autograd.grad(
        column(logits.exp(), probabilities(TEACHER), beta).sum(), logits
    )
    near(loss(TEACHER, TEACHER, beta), 0.0, atol=1e-12)
    near(gradient, [[0.0, 0.0]], atol=1e-12)
    assert loss(STUDENT, TEACHER, beta) > 0.03


def test_it_reads_neither_rewards_nor_who_wrote_the_text() -> None:
    """So stored responses will do as well as sampled ones."""
    algorithm = algorithms.gkd()
    assert not algorithm.reads
    assert algorithm.rows == "sampled"
    assert [d.column for d in algorithms.gkd(top_k=64).divergences] == ["jsd0.5_teacher_top64"]
