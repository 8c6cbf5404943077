"""The studies as they are committed: recipes parse, budgets are equal, pages are reproducible."""

import json
from pathlib import Path

import pytest

from jumar import reproduce
from jumar.config import parse
from jumar.config.sources import merged
from jumar.reproduce.page import page
from jumar.reproduce.runs import Runner
from jumar.reproduce.study import Study

STUDIES = {name: reproduce.get(name) for name in reproduce.names()}
RESULTS = Path(__file__).parents[2] / "docs" / "results"
PUBLISHED = [name for name in STUDIES if (RESULTS / f"{name}.md").is_file()]
OUTCOMES = {"holds", "does not hold", "cannot be told at this scale"}


@pytest.fixture(params=STUDIES)
def study(request: pytest.FixtureRequest) -> Study:
    return STUDIES[request.param]


def test_every_recipe_of_every_scale_is_one_that_trains(study: Study) -> None:
    for arm in (*study.arms, *study.foundations):
        parse(arm.recipe, source=arm.name)
    for name, tried in study.tuning.items():
        for settings in tried:
            parse(merged(study.arm(name).recipe, settings), source=name)
    assert set(study.scales) == {"small", "paper"}
    for scale in study.scales.values():
        for name, recipe in scale.recipes.items():
            parse(recipe, source=name)


def test_every_method_is_tuned_with_the_same_budget(study: Study) -> None:
    assert len({len(tried) for tried in study.tuning.values()}) == 1
    for tried in study.tuning.values():
        assert len({json.dumps(settings) for settings in tried}) == len(tried)


def test_headline_arms_have_five_seeds_and_the_others_three(study: Study) -> None:
    for arm in study.arms:
        headline = arm.tuned_as == arm.name or arm.timed
        assert arm.seeds == (5 if headline else 3)


def test_a_recipes_name_changes_with_its_settings_and_with_its_foundation(study: Study) -> None:
    names = [study.config(arm.recipe) for arm in study.arms if not arm.timed]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_page_is_what_its_records_say(name: str) -> None:
    written = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    assert written == page(STUDIES[name], RESULTS / name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_study_is_complete_and_of_the_settings_in_the_code(name: str) -> None:
    runner = Runner(
        study=STUDIES[name], store=RESULTS / name, work=Path("none"), jobs=1, tell=print
    )
    assert runner.missing() == 0
    records = runner.records()
    assert {claim.judge(records).outcome for claim in STUDIES[name].claims} <= OUTCOMES
