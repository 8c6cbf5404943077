import torch

from jumar.ops.draws import row_hash, row_uniform


def rows(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randint(0, 2**62, (n,), generator=g), torch.arange(n) % 8


def test_a_draw_depends_on_its_row_and_not_on_its_place() -> None:
    prompts, samples = rows(100)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))
    whole = row_uniform(3, 5, prompts, samples)
    assert torch.equal(whole[order], row_uniform(3, 5, prompts[order], samples[order]))
    assert torch.equal(whole[40:41], row_uniform(3, 5, prompts[40:41], samples[40:41]))


def test_each_of_seed_step_prompt_and_sample_changes_it() -> None:
    prompts, samples = rows(1000)
    base = row_hash(3, 5, prompts, samples)
    for other in (
        row_hash(4, 5, prompts, samples),
        row_hash(3, 6, prompts, samples),
        row_hash(3, 5, prompts + 1, samples),
        row_hash(3, 5, prompts, samples + 1),
        row_hash(5, 3, prompts, samples),
    ):
        assert (base != other).all()


def test_draws_are_uniform_and_uncorrelated() -> None:
    n = 40_000
    u = row_uniform(0, 0, torch.arange(n) // 8, torch.arange(n) % 8)
    assert u.dtype == torch.float64
    assert ((u >= 0) & (u < 1)).all()
    counts = torch.histc(u, bins=20, min=0, max=1)
    chi_squared = ((counts - n / 20).square() / (n / 20)).sum()
    assert chi_squared < 43.8  # the 99.9th percentile at 19 degrees of freedom
    neighbours = torch.corrcoef(torch.stack([u[:-1], u[1:]]))[0, 1]
    steps = torch.corrcoef(
        torch.stack([u, row_uniform(0, 1, torch.arange(n) // 8, torch.arange(n) % 8)])
    )[0, 1]
    assert abs(neighbours) < 0.02
    assert abs(steps) < 0.02


def test_the_numbers_are_fixed_for_good() -> None:
    """Runs of other versions must draw the same rows: splitmix64 in Python's integers."""

    def mixed(x: int) -> int:
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
        return x ^ (x >> 31)

    golden, h = 0x9E3779B97F4A7C15, 11
    for word in (7, 123456789, 2):
        h = mixed((h * golden + golden + word) % 2**64)
    drawn = row_uniform(11, 7, torch.tensor([123456789]), torch.tensor([2]))
    assert float(drawn) == (h >> 11) / 2**53
