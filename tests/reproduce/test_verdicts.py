"""Verdicts from records made by hand: what holds, what does not, what cannot be told."""

from collections.abc import Mapping

import pytest

from jumar.engines.contract import Estimate
from jumar.reproduce.study import Records, cell
from jumar.reproduce.verdicts import all_above, all_below, all_within, decided, points, rising

UNTOLD = "cannot be told at this scale"


def at(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high)


def records(**arms: list[float]) -> Records:
    return Records({arm: dict(enumerate({"x": x} for x in xs)) for arm, xs in arms.items()})


def number(record: Mapping[str, float]) -> float:
    return record["x"]


@pytest.mark.parametrize(
    ("intervals", "outcome"),
    [
        ([(-3, -1), (-2, -0.1)], "holds"),
        ([(-3, -1), (0.0, 1)], "does not hold"),
        ([(-3, -1), (-1, 1)], UNTOLD),
        ([(-1, 1), (1, 2)], "does not hold"),
    ],
)
def test_below_needs_every_interval_below_and_fails_at_one_that_begins_there(intervals, outcome):
    differences = {str(i): at(*interval) for i, interval in enumerate(intervals)}
    assert all_below(differences, 0.0, "x").outcome == outcome
    turned = {name: Estimate(-d.value, -d.high, -d.low) for name, d in differences.items()}
    assert all_above(turned, 0.0, "x").outcome == outcome


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((-2, 2), "holds"),
        ((-4, 2), UNTOLD),
        ((3.5, 5), "does not hold"),
        ((-9, -4), "does not hold"),
    ],
)
def test_within_is_about_both_sides(interval, outcome):
    assert all_within({"a": at(*interval)}, 3, "x").outcome == outcome


def test_what_is_measured_without_chance_is_decided():
    assert decided(True, "x").outcome == "holds"
    assert decided(False, "x").outcome == "does not hold"


def test_differences_are_paired_by_seed():
    found = records(a=[0.5, 0.6, 0.7], b=[0.4, 0.5, 0.6]).difference("a", "b", number)
    assert found.value == pytest.approx(0.1)
    assert found.high - found.low < 1e-9  # the seeds differ, their differences do not


def test_a_seed_that_one_arm_lacks_is_left_out():
    both = records(a=[1.0, 2.0, 9.0], b=[0.0, 1.0])
    assert both.difference("a", "b", number).value == 1
    assert both.median_ratio("a", "a", number) == 1


def test_a_mean_over_seeds_has_students_interval():
    found = records(a=[1.0, 2.0, 3.0]).mean("a", number)
    # mean 2, standard deviation 1, t(2) = 4.3027: 4.3027 / sqrt(3) = 2.484
    assert found.value == 2
    assert found.high == pytest.approx(2 + 2.484, abs=1e-3)


def test_rising_needs_a_rise_on_the_whole_and_no_step_down():
    names = ["a", "b", "c"]
    up = records(a=[0.1, 0.11, 0.1], b=[0.2, 0.21, 0.2], c=[0.3, 0.31, 0.3])
    dip = records(a=[0.1, 0.11, 0.1], b=[0.5, 0.51, 0.5], c=[0.3, 0.31, 0.3])
    noise = records(a=[0.1, 0.5, 0.3], b=[0.3, 0.1, 0.4], c=[0.2, 0.6, 0.1])
    outcomes = [rising(names, number, {})(found).outcome for found in (up, dip, noise)]
    assert outcomes == ["holds", "does not hold", UNTOLD]


def test_numbers_are_shown_with_their_intervals():
    assert cell(Estimate(0.5, 0.4, 0.61)) == "50.0 [40.0, 61.0]"
    assert points({"a - b": Estimate(-0.012, -0.02, 0.003)}) == "a - b -1.2 [-2.0, +0.3]"
