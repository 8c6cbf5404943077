"""Laws that hold for every algorithm of the folder, whatever its formula says."""

import ast
import copy
import inspect
import pickle
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from jumar import algorithms, programs
from jumar.algorithm import Algorithm, compute_signals, policy_loss
from jumar.engines.local.provision import PROVIDED_HERE
from jumar.errors import MissingColumnError
from jumar.pieces import piece
from jumar.rewards import verifier_reward
from jumar.types import COLUMNS, CORE_COLUMNS, LossScale, RolloutBatch

from .worlds import SUBJECTS, Result, law, live_columns, run, slots, world

EXACT = 1e-10


def assert_same(one: Result, other: Result, tolerance: float = EXACT) -> None:
    torch.testing.assert_close(one.loss, other.loss, rtol=0, atol=tolerance)
    for name, gradient in one.gradients.items():
        assert (gradient is None) == (other.gradients[name] is None)
        if gradient is not None:
            torch.testing.assert_close(gradient, other.gradients[name], rtol=0, atol=tolerance)


# --- what comes out


@law
def test_shapes_and_finiteness(subject: str) -> None:
    w = world(SUBJECTS[subject])
    rows, length = w.rollout["mask"].shape
    signals = w.signals()
    assert signals.advantages.shape == (rows, length)
    for name, column in {"advantages": signals.advantages, **signals.columns}.items():
        assert not column.requires_grad
        assert column.shape == ((rows, length) if COLUMNS[name].shape == "BT" else (rows,)), name
        assert column.dtype == torch.bool or torch.isfinite(column).all()
    tokens = w.tokens(w.live)
    losses = w.algorithm.surrogate(tokens)
    assert losses.shape in [(rows,), (rows, length)]
    assert w.algorithm.token_weight(tokens).shape == (rows, length)
    kept = w.algorithm.keep(w.built())
    assert kept.dtype == torch.bool
    assert kept.shape == (rows,)
    result = run(w)
    assert result.loss.shape == ()
    assert torch.isfinite(result.loss)
    for value, count in result.metrics.values():
        assert torch.isfinite(value)
        assert count.shape == ()
        assert not value.requires_grad


@law
def test_masked_positions_change_nothing(subject: str) -> None:
    clean = world(SUBJECTS[subject])
    mask = clean.rollout["mask"]
    expected = run(clean)
    for garbage in (torch.nan, torch.inf, -torch.inf, 1e30):

        def dirty(column: Tensor, garbage: float = garbage) -> Tensor:
            if not column.is_floating_point() or column.shape != mask.shape:
                return column
            return column.masked_fill(~mask, garbage)

        w = replace(
            clean,
            rollout={n: dirty(c) for n, c in clean.rollout.items()},
            live={n: dirty(c) for n, c in clean.live.items()},
        )
        assert_same(expected, run(w), 0)
        for gradient in run(w).gradients.values():
            assert gradient is None or (gradient[~mask] == 0).all()


@law
def test_more_padding_changes_nothing(subject: str) -> None:
    w = world(SUBJECTS[subject])
    wider = replace(
        w,
        rollout={n: pad(c, n) for n, c in w.rollout.items()},
        live={n: pad(c, n) for n, c in w.live.items()},
    )
    expected, found = run(w), run(wider)
    cut = {
        n: g if g is None else g[:, : w.rollout["mask"].shape[1]]
        for n, g in found.gradients.items()
    }
    assert_same(expected, replace(found, gradients=cut))


def pad(column: Tensor, name: str) -> Tensor:
    by_token = column.dim() == 2 and not (name in COLUMNS and COLUMNS[name].shape == "BK")
    return torch.nn.functional.pad(column, (0, 3)) if by_token else column


# --- who depends on whom


@law
@given(seed=st.integers(0, 50), labels=st.lists(st.integers(0, 3), min_size=12, max_size=12))
def test_micro_batches_add_up(subject: str, seed: int, labels: list[int]) -> None:
    w = world(SUBJECTS[subject], seed)
    label = torch.tensor(labels)
    if w.algorithm.unit == "group":
        label = label[w.rollout["group_ids"]]
    parts = [torch.nonzero(label == part)[:, 0] for part in label.unique()]
    whole, split = run(w), run(w, parts)
    assert_same(whole, split)
    for name, (value, count) in whole.metrics.items():
        torch.testing.assert_close(split.metrics[name][0], value, rtol=1e-14, atol=EXACT)
        assert split.metrics[name][1] == count


@law
@given(seed=st.integers(0, 50))
def test_row_order_and_group_labels_change_nothing(subject: str, seed: int) -> None:
    w = world(SUBJECTS[subject], seed)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    new_label = torch.tensor([-5, 900, 3, 0])
    other = w.rows(order)
    other = other.with_columns(group_ids=new_label[other.rollout["group_ids"]])
    expected, found = run(w), run(other)
    permuted = {n: g if g is None else g[order] for n, g in expected.gradients.items()}
    assert_same(replace(expected, gradients=permuted), found)
    assert torch.equal(w.algorithm.keep(w.built())[order], w.algorithm.keep(other.built()))
    before, after = w.signals(), other.signals()
    torch.testing.assert_close(before.advantages[order], after.advantages, rtol=0, atol=EXACT)
    for name, column in before.columns.items():
        torch.testing.assert_close(column[order], after.columns[name], rtol=0, atol=EXACT)


@law
def test_gradients_reach_only_columns_that_carry_one(subject: str) -> None:
    w = world(SUBJECTS[subject])
    leaves = {
        name: column.clone().requires_grad_()
        for name, column in {**w.tokens(w.live).columns}.items()
        if column.is_floating_point()
    }
    tokens = w.tokens(w.live).with_columns(**leaves)
    policy_loss(w.algorithm, tokens, LossScale.of(tokens, tokens.stats)).loss.backward()
    reached = {name for name, leaf in leaves.items() if leaf.grad is not None}
    assert reached <= set(live_columns(w.algorithm))
    assert any(leaves[name].grad.abs().sum() > 0 for name in reached)


@law
def test_declared_columns_are_enough_and_each_is_read(subject: str) -> None:
    """A world holds what is declared, so every other law shows it to be enough."""
    w = world(SUBJECTS[subject])
    run(w)
    requested = {divergence.column for divergence in w.algorithm.divergences}
    for name in w.algorithm.reads | requested:
        less = replace(
            w,
            rollout={n: c for n, c in w.rollout.items() if n != name},
            live={n: c for n, c in w.live.items() if n != name},
        )
        with pytest.raises(MissingColumnError, match=f"column `{name}`"):
            run(less)


@law
def test_each_slot_declares_what_it_reads_at_its_own_time(subject: str) -> None:
    """`keep` runs before any model has scored the rollout, the reward before the update."""
    algorithm = SUBJECTS[subject]
    w = world(algorithm)
    assert not algorithm.keep.reads, "keep sees what the sampler and the verifier gave"
    early = {n: c for n, c in w.rollout.items() if n in CORE_COLUMNS}
    algorithm.keep(RolloutBatch.build(**early))
    known = algorithm.reward.reads | algorithm.advantage.reads
    some = {n: c for n, c in w.rollout.items() if n in CORE_COLUMNS or n in known}
    signals, _ = compute_signals(algorithm, RolloutBatch.build(**some), algorithm.init_state())
    made = set(signals.columns) - {"rewards", "token_rewards"}
    assert made == set(algorithm.makes)


# --- numbers at the edge


@law
def test_log_ratios_of_ten_thousand_nats_stay_finite(subject: str) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        w = world(SUBJECTS[subject], dtype=dtype)
        g = torch.Generator().manual_seed(1)
        for name in [n for n in w.rollout if n.endswith("logprobs")]:
            sign = torch.randint(0, 2, w.rollout["mask"].shape, generator=g) * 2 - 1
            w = w.with_columns(**{name: w.live["logprobs"] + (1e4 * sign).to(dtype)})
        result = run(w)
        assert torch.isfinite(result.loss)
        for gradient in result.gradients.values():
            assert gradient is None or torch.isfinite(gradient).all()
        for value, _ in result.metrics.values():
            assert torch.isfinite(value)


@law
def test_a_rollout_without_a_token_has_loss_0(subject: str) -> None:
    w = world(SUBJECTS[subject])
    w = w.with_columns(mask=torch.zeros_like(w.rollout["mask"]))
    result = run(w)
    assert result.loss == 0
    for gradient in result.gradients.values():
        assert gradient is None or (gradient == 0).all()


# --- the record


@law
def test_records_pickle_compare_hash_and_print(subject: str) -> None:
    algorithm = SUBJECTS[subject]
    for twin in (pickle.loads(pickle.dumps(algorithm)), copy.deepcopy(algorithm)):
        assert twin == algorithm
        assert hash(twin) == hash(algorithm)
        assert repr(twin) == repr(algorithm)
    printed = repr(algorithm)
    assert " at 0x" not in printed
    for part in algorithm.pieces():
        assert part.fn.__name__ in printed
        assert all(f"{name}={value!r}" in printed for name, value in part.settings)


@law
def test_name_file_and_factory_agree(subject: str) -> None:
    algorithm = SUBJECTS[subject]
    factory = getattr(algorithms, algorithm.name)
    assert factory.__name__ == algorithm.name
    assert factory.__module__ == f"jumar.algorithms.{algorithm.name}"
    assert factory() == algorithms.get(algorithm.name)
    assert factory().name == algorithm.name
    for parameter in inspect.signature(factory).parameters.values():
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is not parameter.empty


@law
def test_every_setting_reaches_the_record(subject: str) -> None:
    factory = getattr(algorithms, SUBJECTS[subject].name)
    for name, parameter in inspect.signature(factory).parameters.items():
        other = another(parameter)
        changed = factory(**{name: other})
        assert changed != factory(), f"{name}={other!r} changes nothing"


def another(parameter: inspect.Parameter) -> object:
    literal = re.findall(r"'(\w+)'", str(parameter.annotation))
    if isinstance(parameter.default, str):
        return next(choice for choice in literal if choice != parameter.default)
    return 7 if parameter.default is None else parameter.default + 1


@law
def test_each_slot_takes_what_the_table_of_slots_says(subject: str) -> None:
    algorithm = SUBJECTS[subject]
    assert all(p.fn.__module__.startswith("jumar.") for p in algorithm.pieces())
    assert algorithm.unit in ("token", "response", "group")
    for name, part in slots(algorithm).items():
        parameters = inspect.signature(part.fn).parameters.values()
        required = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty}
        missing = required - dict(part.settings).keys()
        assert not missing, f"{name} lacks {missing}"


# --- the card


@law
def test_the_card_is_complete(subject: str) -> None:
    name = SUBJECTS[subject].name
    card, source = algorithms.card(name), Path(inspect.getfile(getattr(algorithms, name)))
    text = source.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    first = (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]
    assert re.fullmatch(r"[^:]+: [^:]+.*\.", first), first
    assert first == f"{card.title}: {card.idea}"
    letters = re.sub(r"[^a-z0-9]", "", card.title.lower().replace("*", "star"))
    assert letters == name.replace("_", "")
    assert card.formula.strip()
    assert {"Paper", "Code", "Departs", "Elsewhere", "Changes"} <= set(card.labels)
    assert card.changes in algorithms.CHANGES
    assert all(label.strip().endswith(".") for label in card.labels.values())
    assert re.search(r"arXiv:\d{4}\.\d{5}|\b(19|20)\d\d\b", card.labels["Paper"])
    assert re.search(r"https://|none released", card.labels["Code"])


@law
def test_the_slot_that_the_card_names_is_not_at_its_default(subject: str) -> None:
    slot = next((f for f in fields(Algorithm) if f.name == card_of(subject).changes), None)
    if slot is not None and slot.name != "surrogate":  # which has no default
        assert getattr(algorithms.get(SUBJECTS[subject].name), slot.name) != slot.default


@law
def test_columns_that_no_engine_gives_are_on_the_card(subject: str) -> None:
    made = {column for program in programs.names() for column in programs.made(program)}
    made |= {"signal"}  # of the verb log_ratio
    needs = algorithms.get(SUBJECTS[subject].name).reads - PROVIDED_HERE - made
    assert sorted(needs) == sorted(card_of(subject).needs)


def card_of(subject: str) -> algorithms.Card:
    return algorithms.card(SUBJECTS[subject].name)


@law
def test_the_card_and_the_defaults_agree(subject: str) -> None:
    name = SUBJECTS[subject].name
    card, signature = algorithms.card(name), inspect.signature(getattr(algorithms, name))
    assert {k: ast.literal_eval(v) for k, v in card.settings.items()} == {
        k: p.default for k, p in signature.parameters.items()
    }
    ours = " ".join([card.idea, card.formula, card.labels["Departs"]])
    for names, number in re.findall(r"((?:\w+ = )+)(-?\d[\d.]*(?:e-?\d+)?)", ours):
        for setting in names.split(" = "):
            if setting in signature.parameters:
                assert float(number.rstrip(".")) == signature.parameters[setting].default


# --- laws of a trait: whoever keeps one declares it, and whoever declares it keeps it


@law
def test_group_centred_tied_rewards_give_exactly_no_advantage(subject: str) -> str:
    return trait(SUBJECTS[subject], "group_centred", is_group_centred(SUBJECTS[subject]))


def is_group_centred(algorithm: Algorithm) -> bool:
    """A law of the advantage: what a shaped reward makes of ties is its own affair.

    And of every rollout: the tied one is the second of the same prompts, which a state remembers.
    """
    algorithm = replace(algorithm, reward=piece(verifier_reward))
    plain, state = world(algorithm).signals_and_state()
    if not plain.advantages.any():
        return False  # an advantage that is always 0 centres nothing
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        w = world(algorithm, dtype=dtype)
        for reward in (0.1, 1 / 3, 1e-8, 1e8):
            tied = w.with_columns(rewards=torch.full_like(w.rollout["rewards"], reward))
            if tied.signals(state).advantages.any():
                return False
    return True


@law
def test_policy_gradient_on_policy_it_is_the_weighted_advantage(subject: str) -> str:
    return trait(SUBJECTS[subject], "policy_gradient", is_policy_gradient(SUBJECTS[subject]))


def is_policy_gradient(algorithm: Algorithm) -> bool:
    """The penalties and the critic are terms of their own; the law is about the surrogate."""
    w = world(algorithm)  # with what batch_stats may read for a penalty
    algorithm = replace(algorithm, penalties=(), value_loss=None)
    w = replace(w, algorithm=algorithm)
    if "old_logprobs" in algorithm.reads:
        w = w.with_columns(old_logprobs=w.live["logprobs"])
    gradient = run(w).gradients["logprobs"]
    tokens = w.tokens(w.live)
    share = torch.ones_like(w.live["logprobs"]).requires_grad_()
    algorithm.aggregate(share, tokens, LossScale.of(tokens)).backward()
    expected = -tokens.advantages * algorithm.token_weight(tokens) * share.grad
    return gradient is not None and torch.allclose(gradient, expected, rtol=0, atol=EXACT)


@law
def test_per_response_the_surrogate_gives_one_loss_for_each(subject: str) -> str:
    w = world(SUBJECTS[subject])
    per_response = w.algorithm.surrogate(w.tokens(w.live)).dim() == 1
    return trait(SUBJECTS[subject], "per_response", per_response)


def trait(algorithm: Algorithm, name: str, kept: bool) -> str:
    declared = name in algorithm.traits
    assert declared == kept, f"declares {name}: {declared}, keeps it: {kept}"
    return "holds" if kept else "-"
