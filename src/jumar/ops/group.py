"""Statistics over groups: the responses to one prompt, in any order, in groups of any size."""

import torch
from torch import Tensor


def _sums(x: Tensor, group_ids: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of each group, and for each row the index of its group."""
    unique, index = torch.unique(group_ids, return_inverse=True)
    return x.new_zeros(len(unique)).index_add(0, index, x), index


def group_size(group_ids: Tensor) -> Tensor:
    """[B] int: how many rows share this row's group."""
    sums, index = _sums(torch.ones_like(group_ids), group_ids)
    return sums[index]


def group_sum(x: Tensor, group_ids: Tensor) -> Tensor:
    """[B]: the sum over the row's group."""
    sums, index = _sums(x, group_ids)
    return sums[index]


def group_mean(x: Tensor, group_ids: Tensor) -> Tensor:
    """[B]: the mean over the row's group."""
    return group_sum(x, group_ids) / group_size(group_ids)


def group_min(x: Tensor, group_ids: Tensor) -> Tensor:
    """[B]: the smallest of the row's group."""
    unique, index = torch.unique(group_ids, return_inverse=True)
    return x.new_zeros(len(unique)).scatter_reduce(0, index, x, "amin", include_self=False)[index]


def group_centred(x: Tensor, group_ids: Tensor) -> Tensor:
    """[B]: x minus the mean of its group; exactly 0 where the whole group is tied."""
    # shifting by the minimum first: n times 0.1 divided by n is not always 0.1
    shifted = x - group_min(x.detach(), group_ids)  # a shift cancels, so its gradient would be 0
    return shifted - group_mean(shifted, group_ids)


def group_std(x: Tensor, group_ids: Tensor) -> Tensor:
    """[B]: the unbiased standard deviation (n - 1) of the row's group; 0 for a group of one."""
    squares = group_sum(group_centred(x, group_ids).square(), group_ids)
    return (squares / (group_size(group_ids) - 1).clamp(min=1)).sqrt()


def group_rank(x: Tensor, group_ids: Tensor, ties: Tensor | None = None) -> Tensor:
    """[B] int: how many of the row's group have a smaller x, or the same x and a smaller `ties`."""
    below = x[None, :] < x[:, None]
    if ties is not None:
        below |= (x[None, :] == x[:, None]) & (ties[None, :] < ties[:, None])
    return ((group_ids[:, None] == group_ids[None, :]) & below).sum(dim=1)


def distinct(group_ids: Tensor, labels: Tensor) -> Tensor:
    """[B] int: group ids of a finer partition, by group and by label within it."""
    index: Tensor = torch.unique(torch.stack([group_ids, labels]), dim=1, return_inverse=True)[1]
    return index


def one_of_each(group_ids: Tensor) -> Tensor:
    """[B] bool: the first row of every group, where all rows of a group say the same."""
    return group_rank(torch.arange(len(group_ids), device=group_ids.device), group_ids) == 0
