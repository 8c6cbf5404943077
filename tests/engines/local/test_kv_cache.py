import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from jumar.engines.local.kv_cache import ROOM, RoomyLayer, drop_rows, repeat_rows


def states(draw, rows, tokens):
    return torch.randn(rows, 2, tokens, 3, generator=draw)


def cache_of(layer):
    cache = DynamicCache()
    cache.layers = [layer]
    return cache


@given(seed=st.integers(0, 10_000), prompt=st.integers(1, 5), tokens=st.integers(1, 2 * ROOM))
def test_keys_and_values_are_those_of_the_plain_cache_after_any_drops(seed, prompt, tokens):
    draw = torch.Generator().manual_seed(seed)
    plain, roomy = cache_of(DynamicLayer()), cache_of(DynamicLayer())
    first = states(draw, 3, prompt), states(draw, 3, prompt)
    for cache in (plain, roomy):
        cache.update(*first, 0)
    member = torch.tensor([2, 0, 0, 1, 2, 1, 1])
    plain.batch_select_indices(member)
    repeat_rows(roomy, member)
    assert isinstance(roomy.layers[0], RoomyLayer)
    for _ in range(tokens):
        rows = roomy.layers[0].keys.shape[0]
        going = torch.rand(rows, generator=draw) > 0.02
        going[0] = True
        if not going.all():
            order = drop_rows(roomy, going)
            assert sorted(order.tolist()) == going.nonzero()[:, 0].tolist()
            plain.batch_select_indices(order)
            rows = len(order)
        new = states(draw, rows, 1), states(draw, rows, 1)
        for left, right in zip(plain.update(*new, 0), roomy.update(*new, 0), strict=True):
            assert torch.equal(left, right)
    assert roomy.get_seq_length() == plain.get_seq_length() == prompt + tokens


def test_sliding_windows_keep_their_own_layer():
    draw = torch.Generator().manual_seed(0)
    cache = cache_of(DynamicSlidingWindowLayer(sliding_window=4))
    cache.update(states(draw, 2, 3), states(draw, 2, 3), 0)
    repeat_rows(cache, torch.tensor([0, 0, 1]))
    layer = cache.layers[0]
    assert isinstance(layer, DynamicSlidingWindowLayer)
    before = layer.keys.clone()
    assert drop_rows(cache, torch.tensor([False, True, True])).tolist() == [2, 1]
    assert torch.equal(layer.keys, before[[2, 1]])


def test_a_token_is_written_in_place_while_there_is_room():
    draw = torch.Generator().manual_seed(0)
    layer = RoomyLayer(states(draw, 2, 3), states(draw, 2, 3))
    places = set()
    for _ in range(ROOM):
        keys, _ = layer.update(states(draw, 2, 1), states(draw, 2, 1))
        places.add(keys.data_ptr())
    assert len(places) == 1
