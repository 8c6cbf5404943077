import pytest
from token_identity import CASES, differences


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=" ".join(map(str, case)), marks=[pytest.mark.slow] * (at % 4 > 0))
        for at, case in enumerate(CASES)
    ],
)
def test_what_is_trained_on_is_what_was_sampled_whatever_the_tokenizer_does(case):
    assert differences(case) == ""
