import pytest

from jumar.schedules import Schedule, linear, value_at


@pytest.mark.parametrize(("step", "value"), [(0, 8.0), (5, 5.0), (10, 2.0), (99, 2.0)])
def test_a_line_goes_from_start_to_end_and_stays(step: int, value: float) -> None:
    assert linear(8.0, 2.0, 10).at(step=step, stage_step=0) == value


def test_a_cosine_is_slow_at_both_ends() -> None:
    cosine = Schedule(start=1.0, end=0.0, steps=4, shape="cosine")
    values = [cosine.at(step=step, stage_step=0) for step in range(6)]
    # 1 - (1 - cos(pi s / 4)) / 2: cos(pi / 4) = 0.7071068
    assert values == pytest.approx([1, 0.8535534, 0.5, 0.1464466, 0, 0])


def test_a_harmonic_is_the_reciprocal_of_a_line() -> None:
    harmonic = Schedule(start=1.0, end=4.0, steps=3, shape="harmonic")
    values = [harmonic.at(step=step, stage_step=0) for step in range(5)]
    # one over 1, 3/4, 2/4, 1/4
    assert values == pytest.approx([1, 4 / 3, 2, 4, 4])


def test_the_stage_clock_starts_again_at_each_stage() -> None:
    schedule = linear(1.0, 0.0, 10, clock="stage_step")
    assert schedule.at(step=500, stage_step=0) == 1.0
    assert schedule.at(step=505, stage_step=5) == 0.5


def test_no_steps_means_the_end_at_once() -> None:
    assert linear(1.0, 0.25, 0).at(step=0, stage_step=0) == 0.25


def test_a_coefficient_is_a_number_or_a_schedule() -> None:
    assert value_at(0.5, step=3, stage_step=0) == 0.5
    assert value_at(linear(0.0, 1.0, 4), step=3, stage_step=0) == 0.75


def test_another_schedule_may_follow_and_counts_from_its_own_begin() -> None:
    schedule = Schedule(start=1.0, end=0.0, steps=4, then=linear(2.0, 4.0, 10))
    values = [schedule.at(step=step, stage_step=0) for step in (0, 2, 4, 9, 14, 99)]
    assert values == [1.0, 0.5, 2.0, 3.0, 4.0, 4.0]
