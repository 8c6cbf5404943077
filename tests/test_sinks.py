import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import sinks  # noqa: E402


def test_every_place_where_text_could_become_code_is_known_and_excused():
    assert sinks.places().keys() == sinks.PLACES.keys()


def test_where_model_text_goes_only_the_sandbox_and_the_user_s_own_file_are_excused():
    near = [place for place in sinks.PLACES if place.startswith(("jumar/verifiers", "jumar/tasks"))]
    assert [place.split(":")[0] for place in near] == [
        "jumar/verifiers/reward_function.py _file_module",
        "jumar/verifiers/sandboxed.py run",
        "jumar/verifiers/sandboxed.py run",
    ]


def test_nothing_of_ours_imports_what_runs_inside_the_sandbox():
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any("sandboxed" in name for name in names), path


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        ("eval(x)", ": eval"),
        ("def f(x):\n  return exec(x)", "f: exec"),
        ("class A:\n  def f(self):\n    return map(eval, x)", "A.f: eval"),
        ("run = exec", ": exec"),
        ("import builtins\nbuiltins.eval(x)", ": builtins.eval"),
        ("from sympy.parsing.sympy_parser import parse_expr as p", ": parse_expr"),
        ("sympy.sympify(x)", ": sympify"),
        ("import pickle as p", ": pickle"),
        ("from pickle import loads", ": pickle"),
        ("import os.path, dill", ": dill"),
        ("os.system(x)", ": os.system"),
        ("from os import system", ": system"),
        ("os.popen(x)", ": popen"),
        ("subprocess.run(x, shell=True)", ": shell=..."),
        ("subprocess.run(x, shell=y)", ": shell=..."),
        ("yaml.load(x)", ": yaml.load"),
        ("from yaml import unsafe_load", ": unsafe_load"),
        ("torch.load(x, weights_only=False)", ": torch.load"),
        ("np.load(x, allow_pickle=True)", ": allow_pickle=..."),
        ("load(x, trust_remote_code=True)", ": trust_remote_code=..."),
        ("{'trust_remote_code': given}", ": trust_remote_code=..."),
        ("loader.exec_module(x)", ": exec_module"),
        ("import runpy", ": runpy"),
        ("__import__(x)", ": __import__"),
    ],
)
def test_a_planted_sink_is_found(text, mention):
    assert mention in [found for found, _ in sinks.mentions(text)]


@pytest.mark.parametrize(
    "text",
    ["model.eval()", "re.compile(x)", "platform.system()", "yaml.safe_load(x)", "json.load(x)",
     "subprocess.run(x, shell=False)", "load(x, trust_remote_code=False)", "'eval(x)'", 
     "np.load(x)"],
)  # fmt: skip
def test_what_is_no_sink_is_left_alone(text):
    assert sinks.mentions(text) == []
