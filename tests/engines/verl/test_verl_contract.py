"""Every name of verl that the adapter touches is there; read from its source, not run."""

import ast
import re
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest

from equivalence.peers import peer
from jumar.engines.verl.host import SUPPORTED, TOUCHED

NAME = re.compile(r'"\w+"|[\w.]+(?:\([^)]*\))?')
NAMES = [(file, name) for file, text in TOUCHED.items() for name in NAME.findall(text)]


def installed() -> Distribution:
    try:
        return distribution("verl")
    except PackageNotFoundError:
        peer("verl")  # says what to do
        raise


@cache
def tree(file: str) -> ast.Module:
    return ast.parse(Path(str(installed().locate_file(f"verl/{file}"))).read_text())


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    arguments = function.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return ", ".join(names)


def found(body: list[ast.stmt], name: str) -> set[str]:
    """The name as it stands in the source, with the parameters where it is a function."""
    names = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            names |= {name, f"{name}({parameters(node)})"}
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        names |= {name for t in targets if isinstance(t, ast.Name) and t.id == name}
        names |= {name} if isinstance(node, ast.ClassDef) and node.name == name else set()
    return names


def members(klass: ast.ClassDef, name: str) -> set[str]:
    inside = {
        name
        for node in ast.walk(klass)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and node.attr == name
    }
    return found(klass.body, name) | inside


@pytest.mark.parametrize(("file", "name"), NAMES)
def test_the_name_is_in_verl(file: str, name: str) -> None:
    source = tree(file)
    plain, _, _ = name.partition("(")
    if name.startswith('"'):
        nodes = list(ast.walk(source))
        texts = {n.value for n in nodes if isinstance(n, ast.Constant)}
        texts |= {n.arg for n in nodes if isinstance(n, ast.keyword)}
        assert name.strip('"') in texts
    elif "." in plain:
        klass, _, member = plain.partition(".")
        classes = [n for n in source.body if isinstance(n, ast.ClassDef) and n.name == klass]
        assert name.removeprefix(f"{klass}.") in set().union(*(members(c, member) for c in classes))
    else:
        assert name in found(source.body, plain)


def test_a_name_that_is_gone_is_missed() -> None:
    source = tree("trainer/ppo/v1/trainer_sync.py")
    (klass,) = [n for n in source.body if isinstance(n, ast.ClassDef)]
    assert "on_init_end(self)" in members(klass, "on_init_end")
    assert not members(klass, "on_init_start")
    assert "on_init_end(self, more)" not in members(klass, "on_init_end")


def test_the_version_is_the_one_that_is_installed() -> None:
    assert installed().version == SUPPORTED
