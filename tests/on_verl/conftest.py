"""verl itself on the processor, in an environment of its own: `make test-verl` makes it."""

import os

import pytest

ON_CPU = {
    "VERL_PLATFORM": "cpu",
    "VERL_ENGINE_DEVICE": "cuda",  # the engine is the same code
    "VERL_USE_EXTERNAL_MODULES": "verl_on_cpu",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}
os.environ |= ON_CPU  # before anything imports verl


def pytest_configure(config: pytest.Config) -> None:
    """Warnings of verl, Ray and vLLM are theirs; ours are errors here, too."""
    for line in ("ignore", "error:::(jumar|parity|test_)"):
        config.addinivalue_line("filterwarnings", line)
