import random
from pathlib import Path

import pytest
import torch

from jumar.config import load
from jumar.engines.local import tiny
from jumar.tasks import Example, get


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same recipe with four steps of training."""
    monkeypatch.setitem(tiny.RECIPE, "steps", 4)


@pytest.mark.slow
def test_two_builds_have_the_same_bytes_and_the_second_use_builds_nothing(short, tmp_path):
    for name in ("a", "b"):
        tiny.tiny_model(tmp_path / name)
    first, second = (tiny.tiny_directory(tmp_path / name) for name in ("a", "b"))
    for file in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (first / file).read_bytes() == (second / file).read_bytes()
    steps: list[int] = []
    tiny.tiny_model(tmp_path / "a", on_progress=lambda step, total: steps.append(step))
    assert steps == []


def test_another_recipe_lies_in_another_place(short, tmp_path, monkeypatch):
    before = tiny.tiny_directory(tmp_path)
    monkeypatch.setitem(tiny.RECIPE, "steps", 5)
    assert tiny.tiny_directory(tmp_path) != before


def test_the_build_leaves_thread_count_and_random_state_as_they_were(short, tmp_path):
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    tiny.tiny_model(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_it_is_a_third_of_a_million_parameters_and_any_text_comes_back(short, tmp_path):
    model, tokenizer = tiny.tiny_model(tmp_path)
    assert 0.3e6 < sum(p.numel() for p in model.parameters()) < 1e6
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    for text in ("8 + 0 = 8\n#### 8", "Zürich, 12½ €", "```\nx = 1\n```"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_demonstrations_use_no_held_out_prompt():
    asked = {e.prompt_id for spec in tiny.RECIPE["tasks"] for e in get(spec).train}
    for spec in (tiny.EMBEDDED, tiny.HARD):
        task = get(spec)
        assert asked.isdisjoint(e.prompt_id for e in (*task.validation, *task.test))


def test_a_demonstration_works_the_sum_out_and_is_wrong_about_as_often_as_planned():
    example = Example(prompt="", answer="9", metadata={"expression": "8 - 4 + 5"})
    draw = random.Random(0)
    texts = [tiny.demonstration(example, draw) for _ in range(400)]
    for text in texts:
        first, second, last = text.split("\n")
        assert first.startswith("8 - 4 = ")
        assert second.startswith(f"{first.split('= ')[1]} + 5 = ")
        assert last == f"#### {second.split('= ')[1]}"
    right = sum(text.endswith("#### 9") for text in texts) / len(texts)
    assert 0.1 < right < 0.9


def test_the_recipes_train_on_the_embedded_tasks():
    assert load("quickstart").task == tiny.EMBEDDED
    assert load("hard").task == tiny.HARD


def test_the_embedded_task_holds_out_at_least_500_prompts():
    assert len(get(tiny.EMBEDDED).test) >= 500


def test_an_interrupted_build_leaves_nothing(short, tmp_path):
    def stop(step: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.tiny_model(tmp_path, on_progress=stop)
    assert [p for p in Path(tmp_path).iterdir() if not p.name.startswith(".")] == []
