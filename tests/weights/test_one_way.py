import pytest
import torch

from jumar.weights.one_way import lead_weight


def test_by_hand() -> None:
    lead = torch.tensor([0.0, 0.5, -0.2, 2.0, -2.0], dtype=torch.float64)
    # 1, exp(-0.5), exp(0.2), exp(-2) = 0.135335 -> 0.5, exp(2) = 7.389056 -> 2
    expected = torch.tensor([1.0, 0.606531, 1.221403, 0.5, 2.0], dtype=torch.float64)
    torch.testing.assert_close(lead_weight(lead, 0.5, 2.0), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_lead_of_ten_thousand_nats_is_a_bound(dtype: torch.dtype) -> None:
    lead = torch.tensor([1e4, -1e4], dtype=dtype)
    found = lead_weight(lead, 0.5, 2.0)
    torch.testing.assert_close(found, torch.tensor([0.5, 2.0], dtype=dtype))


def test_bounds_of_1_switch_a_side_off_exactly() -> None:
    lead = torch.tensor([0.3, -0.3])
    assert lead_weight(lead, 1.0, 2.0)[0] == 1
    assert lead_weight(lead, 0.5, 1.0)[1] == 1
