import pytest
import torch
from torch import Tensor

from jumar.algorithms.treepo import ancestor_advantage, ancestors
from jumar.types import RolloutBatch

from .hand import near, rollout

# four responses of two segments of two tokens: two begin alike, and one of those ends after three
TREE = [[1, 1, 2, 2], [1, 1, 3, 0], [4, 4, 5, 5], [6, 6, 7, 7]]


def tree(rewards: list[float], ids: list[list[int]], **columns: object) -> RolloutBatch:
    lengths = [sum(token > 0 for token in row) for row in ids]
    return rollout(rewards, lengths=lengths, token_ids=torch.tensor(ids), **columns)


def partition(nodes: Tensor) -> set[frozenset[int]]:
    """The rows of each node."""
    return {frozenset((nodes == node).nonzero()[:, 0].tolist()) for node in nodes.unique()}


def test_nodes_are_shared_beginnings_of_whole_segments() -> None:
    depths = [partition(nodes) for nodes in ancestors(tree([0.0] * 4, TREE), 2)]
    assert depths[0] == {frozenset({0, 1, 2, 3})}
    assert depths[1] == {frozenset({0, 1}), frozenset({2}), frozenset({3})}
    assert depths[2] == {frozenset({i}) for i in range(4)}


def test_a_beginning_is_shared_within_a_prompt_only() -> None:
    rows = tree([0.0] * 4, [[1, 1, 2, 2]] * 4, groups=[0, 0, 1, 1])
    *_, last = ancestors(rows, 2)
    assert partition(last) == {frozenset({0, 1}), frozenset({2, 3})}


def test_by_hand() -> None:
    rows = tree([1.0, 0.0, 1.0, 0.0], TREE)
    # root: mean 1/2, +-1/2 each; the node of 0 and 1: the same, so it is their average too
    plain = torch.tensor([0.5, -0.5, 0.5, -0.5], dtype=torch.float64)
    rows_2 = tree([1.0, 1.0, 1.0, 0.0], TREE)
    # root: mean 3/4; the node of 0 and 1: 0, which halves their 1/4; row 2: 1/4, row 3: -3/4
    second = torch.tensor([0.125, 0.125, 0.25, -0.75], dtype=torch.float64)
    for batch, expected in ((rows, plain), (rows_2, second)):
        made = ancestor_advantage(batch, {}, segment=2)[0].advantages
        flat = expected[:, None].expand(4, 4)[batch.mask]
        near(made[batch.mask], (flat - flat.mean()) / flat.std(), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_released_codes_average_over_subgroups(seed: int) -> None:
    """Its arithmetic, by paths: the root always, deeper nodes where they have two rows or more."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 3, (12, 6), generator=g)
    rewards = torch.randint(0, 2, (12,), generator=g).double()
    groups = [0] * 6 + [1] * 6
    paths = [[(groups[i], *ids[i, : 2 * d].tolist()) for d in range(4)] for i in range(12)]
    scores = []
    for own in paths:
        terms = []
        for depth, node in enumerate(own):
            members = [rewards[j] for j in range(12) if paths[j][depth] == node]
            if len(members) > 1 or depth == 0:
                terms.append(rewards[len(scores)] - torch.stack(members).mean())
        scores.append(torch.stack(terms).mean())
    expected = torch.stack(scores)[:, None].expand(12, 6)
    expected = (expected - expected.mean()) / expected.std()
    batch = tree(rewards.tolist(), ids.tolist(), groups=groups)
    near(ancestor_advantage(batch, {}, segment=2)[0].advantages, expected, atol=1e-6)


def test_without_shared_beginnings_it_is_the_groups_mean_whitened() -> None:
    ids = [[i, i, i, i] for i in range(1, 5)]
    batch = tree([1.0, 0.0, 0.0, 0.0], ids)
    made = ancestor_advantage(batch, {}, segment=2)[0].advantages[:, 0]
    centred = torch.tensor([0.75, -0.25, -0.25, -0.25], dtype=torch.float64)
    flat = centred.repeat_interleave(4)
    near(made, centred / flat.std(), atol=1e-6)


def test_after_a_good_beginning_only_what_was_made_of_it_counts() -> None:
    """The paper's point: of two right responses, the one whose siblings fail stands out more."""
    ids = [[1, 1, 2, 2], [1, 1, 3, 3], [4, 4, 5, 5], [4, 4, 6, 6]]
    batch = tree([1.0, 1.0, 1.0, 0.0], ids)
    made = ancestor_advantage(batch, {}, segment=2)[0].advantages[:, 0]
    assert made[2] > made[0] == made[1]
