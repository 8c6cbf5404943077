from collections.abc import Iterator
from pathlib import Path

import letters
import pytest

from jumar.verifiers.pool import ScoringPool


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a random model for the letters."""
    return letters.write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pool() -> Iterator[ScoringPool]:
    """One process that scores letters."""
    with ScoringPool(letters.task().verifier, workers=1) as opened:
        yield opened
