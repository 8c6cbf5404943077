import importlib.metadata
from pathlib import Path

import pytest
import reasoning_gym
from reasoning_gym.factory import DATASETS

from jumar.errors import ConfigurationError
from jumar.verifiers.gym import own_scorer
from jumar.verifiers.gym_scorers import REFUSED, REPLACED
from verifiers.sinks import Package

# reached by name only, never by model text; each with the reason that was checked by reading
ACQUITTED: dict[str, str] = {}


@pytest.fixture(scope="module")
def dangerous():
    package = Package(Path(reasoning_gym.__file__).parent)
    found = {}
    for name, (kind, _) in sorted(DATASETS.items()):
        place = package.score_answer(kind.__module__, kind.__name__)
        assert place is not None, f"{name} has no scorer that could be read"
        if sinks := package.reached_sinks(place):
            found[name] = sinks
    return found


def test_every_scorer_that_reaches_code_execution_is_replaced_or_refused(dangerous):
    open_doors = set(dangerous) - set(REPLACED) - set(REFUSED) - set(ACQUITTED)
    version = importlib.metadata.version("reasoning-gym")
    shown = {name: sorted(dangerous[name]) for name in sorted(open_doors)}
    assert not open_doors, f"reasoning-gym {version} passes text to code in {shown}"


def test_the_reading_finds_the_scorers_that_are_known_to_run_code(dangerous):
    known = {
        "countdown": "parse_expr", "puzzle24": "parse_expr", "string_insertion": "eval",
        "spiral_matrix": "eval", "binary_matrix": "eval", "n_queens": "eval",
        "simple_integration": "parse_expr", "intermediate_integration": "parse_expr",
        "polynomial_multiplication": "parse_expr", "number_sorting": "eval",
        "bitwise_arithmetic": "eval",
    }  # fmt: skip
    assert {name: sink for name, sink in known.items() if sink in dangerous[name]} == known


def test_the_reading_follows_calls_bases_and_imports(tmp_path):
    root = tmp_path / "fake"
    root.mkdir()
    (root / "__init__.py").write_text("from .deep import through\n")
    (root / "deep.py").write_text(
        "def through(x):\n    return hop(x)\ndef hop(x):\n    return eval(x)\n"
    )
    (root / "one.py").write_text(
        "from . import through\n"
        "class Base:\n    def score_answer(self, a, e):\n        return self._mark(a)\n"
        "    def _mark(self, a):\n        return through(a)\n"
        "class Child(Base):\n    pass\n"
    )
    (root / "two.py").write_text(
        "class Safe:\n    def score_answer(self, a, e):\n        return a == e\n"
    )
    package = Package(root)
    package.imports["fake.one"]["through"] = ("fake.deep", "through")
    assert package.reached_sinks(package.score_answer("fake.one", "Child")) == {"eval"}
    assert package.reached_sinks(package.score_answer("fake.two", "Safe")) == set()


def test_tables_name_datasets_that_exist_and_do_not_overlap():
    assert set(REPLACED) | set(REFUSED) <= set(DATASETS)
    assert not set(REPLACED) & set(REFUSED)


def test_a_refused_dataset_is_refused_by_name():
    for name, reason in REFUSED.items():
        with pytest.raises(ConfigurationError, match=f"gym:{name} .*{reason[:20]}"):
            own_scorer(name)
