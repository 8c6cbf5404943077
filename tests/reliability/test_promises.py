"""Promises about the source text that no run can show."""

import ast
from collections.abc import Iterator

import pytest

from .waits import SOURCE

FILES = sorted(SOURCE.rglob("*.py"))
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
LOADERS = {"from_pretrained", "from_config", "load_dataset"}
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                function = node.func
                called = getattr(function, "attr", getattr(function, "id", ""))
                if called == name:
                    yield f"{file.relative_to(SOURCE)}:{node.lineno}", node


def test_no_code_comes_with_a_model_or_a_data_set():
    """transformers and datasets take `trust_remote_code`; it is False wherever it is written."""
    given = [
        (file.relative_to(SOURCE), node.value)
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword | ast.Dict)
        for node in _values(node, "trust_remote_code")
    ]
    assert given
    assert all(isinstance(v, ast.Constant) and v.value is False for _, v in given), given


def _values(node: ast.keyword | ast.Dict, name: str) -> Iterator[ast.keyword]:
    if isinstance(node, ast.keyword) and node.arg == name:
        yield node
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == name:
                yield ast.keyword(arg=name, value=value)


@pytest.mark.parametrize("module", sorted(PICKLES))
def test_no_file_is_a_pickle(module):
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert module not in {name.split(".")[0] for name in names}, file


@pytest.mark.parametrize("function", ["load", "save"])
def test_torch_loads_and_saves_nothing_itself(function):
    for where, call in calls(function):
        owner = getattr(call.func, "value", None)
        assert getattr(owner, "id", "") != "torch", f"{where}: safetensors and JSON only"


def test_nobody_listens_to_the_whole_network_unless_told_to():
    text = {file: file.read_text(encoding="utf-8") for file in FILES}
    for file, content in text.items():
        assert "0.0.0.0" not in content, file
        assert 'bind(("",' not in content, file
    assert 'default="127.0.0.1"' in text[SOURCE / "engines" / "vllm" / "__main__.py"]


def test_no_wall_clock_decides_anything():
    """A clock that jumps: seconds are counted by perf_counter and monotonic; one tracker's protocol
    asks for the time of day.
    """
    asked = {where.rpartition(":")[0] for where, call in calls("time") if _of(call, "time")}
    asked |= {where.rpartition(":")[0] for where, call in calls("now")}
    assert asked == {"reports/trackers.py"}


def _of(call: ast.Call, module: str) -> bool:
    return getattr(getattr(call.func, "value", None), "id", "") == module
