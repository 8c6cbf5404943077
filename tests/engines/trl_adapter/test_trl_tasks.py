"""A task of ours as TRL's data set and reward function."""

import pytest

from equivalence.peers import peer
from jumar import tasks
from jumar.engines.trl import task_dataset, task_reward

pytestmark = pytest.mark.slow
TASK = "gym:chain_sum?min_terms=2&max_terms=2&min_digits=1&max_digits=1&size=20"


@pytest.fixture(scope="module")
def task():
    peer("trl")
    return tasks.get(TASK)


def test_a_split_becomes_conversations_with_what_the_verifier_reads(task):
    found = task_dataset(task, "validation")
    assert len(found) == len(task.validation)
    assert found[0]["prompt"] == task.template.messages(task.validation[0])
    assert found[0]["answer"] == task.validation[0].answer


def test_the_verifier_scores_what_trl_hands_it(task):
    rows, reward = task_dataset(task)[:3], task_reward(task)
    right = [[{"role": "assistant", "content": f"#### {answer}"}] for answer in rows["answer"]]
    columns = {name: rows[name] for name in ("question", "answer", "metadata")}
    assert reward(prompts=rows["prompt"], completions=right, **columns) == [1.0] * 3
    assert reward(prompts=rows["prompt"], completions=["no idea"] * 3, **columns) == [0.0] * 3
    assert reward.__name__ == "correct"  # in TRL's log
