import pytest
import torch
from architectures import random_model
from hypothesis import given
from hypothesis import strategies as st

from jumar.engines.local.micro_batches import packed_work, padded_work, response_spans, work
from jumar.engines.local.packing import pack

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), max_size=30)
PROMPTS = [[1] * 2, [2] * 9, [3] * 20, [4]]


def rows_of(batches):
    return sorted(row for batch in batches for row in batch)


def homes(groups, batches):
    return [
        {number for number, batch in enumerate(batches) for row in batch if groups[row] == group}
        for group in set(groups)
    ]


@given(
    lengths=st.lists(st.integers(1, 40), max_size=30), limit=st.integers(1, 200),
    grouped=st.booleans(), data=st.data(),
)  # fmt: skip
def test_padded_rows_come_once_within_the_limit(lengths, limit, grouped, data):
    count = len(lengths)
    groups = data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    batches = list(padded_work(lengths, groups if grouped else None).micro_batches(limit))
    assert rows_of(batches) == list(range(count))
    for batch in batches:
        units = {groups[row] if grouped else row for row in batch}
        assert len(units) == 1 or len(batch) * max(lengths[row] for row in batch) <= limit
    if grouped:
        assert all(len(home) == 1 for home in homes(groups, batches))


@given(rows=ROWS, limit=st.integers(1, 100), grouped=st.booleans())
def test_packed_rows_come_once_within_the_limit(rows, limit, grouped):
    prompts, spans = [PROMPTS[which] for which, _ in rows], [span for _, span in rows]
    groups = [which for which, _ in rows]
    batches = list(
        packed_work(prompts, spans, limit, groups if grouped else None).micro_batches(limit)
    )
    assert rows_of(batches) == list(range(len(rows)))
    for batch in batches:
        # no more than each row with its own prompt, no less than each prompt once
        least = sum(len(PROMPTS[which]) for which in {groups[row] for row in batch})
        least += sum(spans[row] for row in batch)
        assert (
            len(batch) == 1
            or (grouped and len({groups[r] for r in batch}) == 1)
            or (least <= limit)
        )
    if grouped:
        assert all(len(home) == 1 for home in homes(groups, batches))


def test_a_shared_prompt_counts_once_and_its_rows_stay_together():
    prompts, spans = [[1] * 50] * 4 + [[2] * 50] * 4, [5] * 8
    work = packed_work(prompts, spans, 90)
    # 50 + 4 * 5, and the keys of 4 * 55 tokens, of which 16 count as a token
    assert [unit.tokens for unit in work.units] == [70 + 13] * 2
    assert list(work.micro_batches(90)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert list(padded_work([55] * 8).micro_batches(90)) == [[row] for row in range(8)]


def test_a_group_over_the_limit_is_cut_unless_it_has_to_stay_whole():
    prompts, spans = [[1] * 50] * 6, [20] * 6
    cut = packed_work(prompts, spans, 100).micro_batches(100)
    assert list(cut) == [[0, 1], [2, 3], [4, 5]]
    whole = packed_work(prompts, spans, 100, groups=[0] * 6).micro_batches(100)
    assert list(whole) == [[0, 1, 2, 3, 4, 5]]


def test_rows_without_padding_need_fewer_micro_batches():
    prompts, spans = [[row] for row in range(6)], [1, 1, 1, 10, 10, 10]
    assert len(list(packed_work(prompts, spans, 40).micro_batches(40))) == 1
    assert len(list(padded_work([1 + s for s in spans]).micro_batches(40))) == 2


def test_a_model_that_packs_has_packed_work():
    model, mask = random_model("llama"), torch.ones(2, 3, dtype=torch.bool)
    assert not work(model, [[1], [1]], mask, 10).packed
    pack(model)
    assert work(model, [[1], [1]], mask, 10).packed


@pytest.mark.parametrize(("row", "span"), [([0, 0], 0), ([1, 0], 1), ([0, 1], 2), ([1, 1], 2)])
def test_a_span_ends_with_the_last_token_of_the_mask(row, span):
    assert response_spans(torch.tensor([row], dtype=torch.bool)).tolist() == [span]
