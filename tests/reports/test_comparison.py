"""Several runs side by side, from run directories written by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from jumar.cli.comparing import compare_and_print
from jumar.engines.contract import Estimate, Responses
from jumar.errors import ConfigurationError
from jumar.evaluation.evaluate import Evaluation, write
from jumar.evaluation.intervals import mean, paired_difference, share
from jumar.evaluation.protocol import protocol
from jumar.reports.comparison import (
    Group,
    against,
    course,
    grouped,
    in_numbers,
    places,
    result,
    runs_of,
    spent,
    validated,
    validations,
)
from jumar.reports.runs import read
from jumar.tasks.task import Example
from jumar.verifiers.score import Score, VerifierSpec


def evaluated(directory: Path, right: list[list[int]], prompts: str = "abcd") -> None:
    """Final answers: a row of ones and zeros per prompt."""
    flat = [bool(x) for row in right for x in row]
    examples = [Example(prompt=p, answer="1") for p in prompts]
    drawn = {"samples": len(right[0]), "temperature": 1.0, "top_p": 1.0}
    write(
        Evaluation(
            examples=examples,
            protocol=protocol(examples, VerifierSpec("exact"), **drawn, conditions={}),
            responses=Responses(
                texts=["1"] * len(flat), tokens=[1] * len(flat), truncated=[False] * len(flat)
            ),
            scores=[Score(float(x), x, "right" if x else "wrong", extracted="1") for x in flat],
            seed=3, **drawn,
        ),
        directory / "evaluation" / "final-sampled.jsonl",
    )  # fmt: skip


def run(
    directory: Path, right: list[list[int]] | None = None, *,
    rewards: Sequence[float] = (0.0, 0.5, 1.0), prompts: str = "abcd", **config: Any,
) -> Path:  # fmt: skip
    """A run of a step per reward, each of 2 seconds and 100 tokens, with KL 0, 0.1, 0.2, ..."""
    directory.mkdir()
    settings = {"algorithm": {"name": "owpo"}, "program": {"name": "plain", "steps": 3}, "seed": 0}
    (directory / "config.yaml").write_text(yaml.safe_dump({**settings, **config}))
    lines = []
    for step, reward in enumerate(rewards, start=1):
        numbers = {
            "reward": reward,
            "time/step": 2.0,
            "sampled_tokens": 100.0,
            "kl": (step - 1) / 10,
        }
        lines.append({"step": step, **numbers})
        lines.append({"step": step, "validation": {"pass@1": [reward, reward - 0.1, reward + 0.1]}})
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if right is not None:
        evaluated(directory, right, prompts)
    return directory


ONE = [[1, 1], [1, 0], [0, 0], [1, 0]]
TWO = [[1, 1], [1, 1], [0, 1], [1, 0]]
LOW = [[0, 0], [1, 0], [0, 0], [0, 0]]


def groups_of(*directories: Path) -> list[Group]:
    return grouped([read(path) for path in directories])


def test_seeds_of_one_configuration_are_one_group_named_by_what_differs(tmp_path: Path) -> None:
    clipped = {"name": "owpo", "w_max": 4.0}
    found = groups_of(
        run(tmp_path / "a", seed=0),
        run(tmp_path / "b", seed=1),
        run(tmp_path / "c", algorithm={"name": "grpo"}),
        run(tmp_path / "d", algorithm=clipped),
    )
    assert [(group.label, len(group.runs)) for group in found] == [
        ("owpo algorithm.w_max=None", 2), ("grpo", 1), ("owpo algorithm.w_max=4.0", 1),
    ]  # fmt: skip


def test_a_run_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    path = run(tmp_path / "a", ONE)
    (group,) = groups_of(path, path)
    assert len(group.runs) == 1


def test_another_program_is_named_and_its_own_settings_are_not_listed(tmp_path: Path) -> None:
    ratchet = {"name": "ratchet", "stages": 2, "swap": "best"}
    found = groups_of(run(tmp_path / "a"), run(tmp_path / "b", program=ratchet))
    assert [group.label for group in found] == [
        "owpo program.name=plain", "owpo program.name=ratchet"
    ]  # fmt: skip


def test_a_score_is_pooled_by_prompt_and_has_an_interval_over_prompts_and_one_over_seeds(
    tmp_path: Path,
) -> None:
    (group,) = groups_of(run(tmp_path / "a", ONE, seed=0), run(tmp_path / "b", TWO, seed=1))
    by_prompt = np.array([1.0, 0.75, 0.25, 0.5])
    over_prompts, over_seeds = result(group, "pass@1")
    assert over_prompts == share(by_prompt, samples=4)
    assert over_seeds == mean(np.array([0.5, 0.75]))


def test_a_single_seed_says_nothing_about_new_seeds(tmp_path: Path) -> None:
    (group,) = groups_of(run(tmp_path / "a", ONE))
    assert result(group, "pass@1")[1] is None


def test_a_difference_is_paired_by_prompt(tmp_path: Path) -> None:
    high, low = groups_of(
        run(tmp_path / "a", TWO), run(tmp_path / "b", LOW, algorithm={"name": "grpo"})
    )
    found = against(high, low, "pass@1")
    expected = paired_difference(np.array([1.0, 1.0, 0.5, 0.5]), np.array([0.0, 0.5, 0.0, 0.0]))
    assert found == expected


def test_other_prompts_are_not_compared_and_what_differs_is_named(tmp_path: Path) -> None:
    one, other = groups_of(
        run(tmp_path / "a", ONE),
        run(tmp_path / "b", ONE, prompts="wxyz", algorithm={"name": "grpo"}),
    )
    assert against(one, other, "pass@1") == ["content"]


def test_seeds_that_were_asked_other_prompts_are_refused(tmp_path: Path) -> None:
    (group,) = groups_of(
        run(tmp_path / "a", ONE, seed=0), run(tmp_path / "b", ONE, seed=1, prompts="wxyz")
    )
    with pytest.raises(ConfigurationError, match="differ in content"):
        _ = group.protocol


def test_what_was_spent_and_the_best_and_last_validation_are_means_over_seeds(
    tmp_path: Path,
) -> None:
    (group,) = groups_of(
        run(tmp_path / "a", seed=0, rewards=[0.2, 0.9, 0.4]),
        run(tmp_path / "b", seed=1, rewards=[0.2, 0.5, 0.6]),
    )
    assert spent(group, "time/step") == 6.0
    assert spent(group, "sampled_tokens") == 300.0
    best, last = validated(group)
    assert best == mean(np.array([0.9, 0.6]))
    assert last == mean(np.array([0.4, 0.6]))


def test_a_run_without_an_end_has_no_result(tmp_path: Path) -> None:
    (group,) = groups_of(run(tmp_path / "a"))
    assert result(group, "pass@1") is None
    assert validated(group) == (Estimate(1.0, 0.9, 1.1), Estimate(1.0, 0.9, 1.1))


@pytest.mark.parametrize(
    ("over", "at"),
    [
        ("step", [1, 2, 3]),
        ("seconds", [2, 4, 6]),
        ("tokens", [100, 200, 300]),
        ("kl", [0.0, 0.1, 0.2]),
    ],
)
def test_a_curve_goes_over_what_was_spent(tmp_path: Path, over: Any, at: list[float]) -> None:
    (group,) = groups_of(
        run(tmp_path / "a", seed=0), run(tmp_path / "b", seed=1, rewards=[0.2, 0.5, 0.6])
    )
    found = course(group, over, "reward")
    assert found.places == pytest.approx(at)
    assert found.values == pytest.approx([0.1, 0.5, 0.8])
    assert found.lows[1] == found.highs[1] == 0.5  # both seeds have it
    assert found.lows[2] < 0.6


def test_a_curve_of_several_seeds_has_the_steps_that_all_of_them_have(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", seed=0), run(tmp_path / "b", seed=1)
    lines = (second / "metrics.jsonl").read_text().splitlines(keepends=True)
    (second / "metrics.jsonl").write_text("".join(lines[2:]))  # its first step is lost
    (group,) = groups_of(first, second)
    assert validations(group, "step") == ([2, 3], [0.5, 1.0], [0.5, 1.0], [0.5, 1.0])
    assert course(group, "step", "reward").places == [2, 3]


def test_a_run_that_knows_no_kl_has_no_curve_over_it(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", seed=0), run(tmp_path / "b", seed=1)
    text = (first / "metrics.jsonl").read_text()
    (first / "metrics.jsonl").write_text(text.replace('"kl"', '"other"'))
    known, unknown = groups_of(second)[0], groups_of(first)[0]
    assert course(unknown, "kl", "reward").places == []
    (both,) = groups_of(first, second)
    assert course(both, "kl", "reward") == course(known, "kl", "reward")


def test_an_unfinished_seed_is_told_of_and_not_counted(tmp_path: Path) -> None:
    paths = [
        run(tmp_path / "a", ONE, seed=0),
        run(tmp_path / "b", TWO, seed=1),
        run(tmp_path / "c", seed=2, rewards=[0.0]),
    ]
    (group,) = groups_of(*paths)
    row = in_numbers(group, group)
    assert runs_of(row) == "2 of 3"
    assert row["seconds"] == 6.0
    assert row["last_validation"] == [1.0, 1.0, 1.0]


def test_a_copy_of_a_run_is_refused(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", ONE), run(tmp_path / "b", ONE)
    with pytest.raises(ConfigurationError, match=r"need different seeds.*Name one of them"):
        groups_of(first, second)


def test_runs_whose_configuration_is_lost_stand_alone(tmp_path: Path) -> None:
    paths = [run(tmp_path / "a"), run(tmp_path / "b")]
    for path in paths:
        (path / "config.yaml").unlink()
    assert [(group.label, len(group.runs)) for group in groups_of(*paths)] == [("a", 1), ("b", 1)]


def test_one_seed_has_the_interval_of_its_own_prompts(tmp_path: Path) -> None:
    (group,) = groups_of(run(tmp_path / "a"))
    found = validations(group, "seconds")
    assert found.places == [2, 4, 6]
    assert found.lows == pytest.approx([-0.1, 0.4, 0.9])


def test_a_place_counts_only_what_was_there_before(tmp_path: Path) -> None:
    record = read(run(tmp_path / "a"))
    assert places(record, "tokens", [0, 1, 99]) == [0, 100, 300]


# ------------------------------------------------------------------ the command


def test_the_command_prints_what_it_gives_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [
        run(tmp_path / "a", TWO, seed=0),
        run(tmp_path / "b", ONE, seed=1),
        run(tmp_path / "c", LOW, algorithm={"name": "grpo"}),
    ]
    compare_and_print(paths, as_json=True)
    first, second = json.loads(capsys.readouterr().out)
    assert (first["label"], len(first["runs"]), first["pass@1"][0]) == ("owpo", 2, 0.625)
    assert second["change"][0] == -0.5
    assert (first["change"], second["over_seeds"]) == (None, None)
    compare_and_print(paths, as_json=False)
    shown = capsys.readouterr().out
    value, low, high = second["change"]
    assert f"{value:+.3f} [{low:+.3f}, {high:+.3f}]" in shown
    assert all(text in shown for text in ("A  owpo", "B  grpo", "0:06", "0.2000", "300"))


def test_an_unfinished_run_is_shown_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare_and_print([run(tmp_path / "a")], as_json=False)
    assert "not finished" in capsys.readouterr().out


def test_the_page_holds_the_same_numbers_and_a_curve_for_each_thing_that_was_spent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [
        run(tmp_path / "a", TWO, seed=0),
        run(tmp_path / "b", ONE, seed=1),
        run(tmp_path / "c", LOW, algorithm={"name": "grpo"}, model="<b>mine</b>"),
    ]
    compare_and_print(paths, html=tmp_path / "page.html", as_json=True)
    first, second = json.loads(capsys.readouterr().out)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f'data-value="{first["pass@1"][0]}" data-key="A pass@1"' in text
    assert f'data-value="{second["change"][0]}" data-key="B change"' in text
    assert text.count("<figure") == 8  # pass@1 and reward over steps, seconds, tokens and KL
    assert "<b>mine" not in text
    assert "owpo against grpo" in text


def test_lines_that_have_no_interval_have_no_band(tmp_path: Path) -> None:
    compare_and_print([run(tmp_path / "a", rewards=[0.5])], html=tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    reward = text[text.index('id="reward"') :]
    assert 'class="band' not in reward
