import torch

from jumar import algorithms
from jumar.reproduce.memory import LiveBytes, peak_bytes


def test_live_bytes_by_hand():
    x = torch.ones(1000)  # made outside: not counted
    with LiveBytes() as live:
        a = x * 2  # 4000
        b = a + 1  # 8000
        view = b.view(10, 100)  # a view has no storage of its own
        del a
        c = b * 3  # 8000 again
        c.add_(1)  # in place
        peak = live.peak
        del b, view, c
    assert peak == 8000
    assert live.now == 0


def test_what_backward_keeps_is_counted():
    w = torch.ones(100, 100, requires_grad=True)
    with LiveBytes() as live:
        (w * 2).exp().sum().backward()
    # exp's result is saved while its gradient is made: at least two at once, and w.grad at the end
    assert 2 * 40_000 <= live.peak <= 5 * 40_000
    assert live.now >= 40_000


def test_a_second_response_takes_more_though_it_shares_the_prompt():
    rebel, a_star_po = algorithms.rebel(), algorithms.a_star_po()
    pair, single = peak_bytes(rebel, responses=2), peak_bytes(a_star_po, responses=1)
    assert 1.1 < pair / single < 2.0
    assert peak_bytes(a_star_po, responses=1) == single
