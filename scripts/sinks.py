"""Every place in our sources where a text could become code, and why no text of a model gets there.

    python scripts/sinks.py        fails where there is one more than PLACES names, or one less

A mention is enough: it may be a call, an argument, or an import under another name.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"

# why each is out of a model's reach; for text that a model wrote, outside its sandbox, the list of
# exceptions is empty
PLACES = {
    "jumar/config/yaml_text.py read: yaml.load": "a recipe, by a loader that knows plain data only",
    "jumar/engines/verl/plugin.py AfterTrainers.find_spec: exec_module": "verl's, named there",
    "jumar/engines/vllm/__main__.py : runpy": "starts vLLM's server, named there",
    "jumar/engines/vllm/__main__.py main: run_module": "starts vLLM's server, named there",
    "jumar/verifiers/reward_function.py _file_module: exec_module": "a file of the user's",
    "jumar/verifiers/sandboxed.py run: compile": "inside the sandbox, where it is the purpose",
    "jumar/verifiers/sandboxed.py run: exec": "inside the sandbox, where it is the purpose",
}  # fmt: skip

BUILTINS = frozenset({"eval", "exec", "compile", "__import__"})
NAMES = frozenset(
    {"parse_expr", "sympify", "lambdify", "parse_latex", "exec_module", "run_path", "run_module",
     "popen", "execv", "execve", "execvp", "execvpe", "execl", "execlp", "spawnv", "spawnl",
     "posix_spawn", "getoutput", "getstatusoutput", "unsafe_load", "full_load", "FullLoader",
     "UnsafeLoader", "InteractiveInterpreter"}
)  # fmt: skip
MODULES = frozenset(
    {"pickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "runpy", "codeop"}
)
MEMBERS = frozenset(
    {("yaml", "load"), ("torch", "load"), ("os", "system"), ("builtins", "eval"),
     ("builtins", "exec")}
)  # fmt: skip
KEYWORDS = frozenset({"shell", "allow_pickle", "trust_remote_code"})  # are to be False or absent


def mentions(text: str) -> list[tuple[str, int]]:
    """(function: sink, line) for each mention in a source."""
    return [
        (f"{where}: {sink}", line)
        for where, node, line in _nodes(ast.parse(text), "")
        for sink in _sinks(node)
    ]


def _nodes(tree: ast.AST, where: str) -> Iterator[tuple[str, ast.AST, int]]:
    """Every node with the function or class that it stands in."""
    for child in ast.iter_child_nodes(tree):
        yield where, child, getattr(child, "lineno", 0)
        is_scope = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from _nodes(child, f"{where}.{child.name}".lstrip(".") if is_scope else where)


def _sinks(node: ast.AST) -> list[str]:
    """The sinks that a node itself mentions, apart from its children."""
    match node:
        case ast.Name(id=name):
            return [name] if name in NAMES | BUILTINS else []
        case ast.Attribute(value=ast.Name(id=module), attr=name) if (module, name) in MEMBERS:
            return [f"{module}.{name}"]
        case ast.Attribute(attr=name):
            return [name] if name in NAMES else []
        case ast.Import(names=aliases):
            return [alias.name for alias in aliases if alias.name.split(".")[0] in MODULES]
        case ast.ImportFrom(module=str(module), names=aliases):
            members = [a.name for a in aliases if a.name in NAMES or (module, a.name) in MEMBERS]
            return [module] if module.split(".")[0] in MODULES else members
        case ast.Call(keywords=keywords):
            pairs = [(keyword.arg, keyword.value) for keyword in keywords]
            return [f"{name}=..." for name, value in pairs if name in KEYWORDS and _is_on(value)]
        case ast.Dict(keys=keys, values=values):
            names = [key.value if isinstance(key, ast.Constant) else None for key in keys]
            given = zip(names, values, strict=True)
            return [f"{name}=..." for name, value in given if name in KEYWORDS and _is_on(value)]
    return []


def _is_on(value: ast.expr) -> bool:
    return not (isinstance(value, ast.Constant) and value.value is False)


def places() -> dict[str, int]:
    """{file, function and sink: line} of all our sources."""
    return {
        f"{path.relative_to(SOURCE)} {mention}": line
        for path in sorted(SOURCE.rglob("*.py"))
        for mention, line in mentions(path.read_text(encoding="utf-8"))
    }


def main() -> int:
    """Print what is new and what is gone; 1 where there is any."""
    seen = places()
    for place in sorted(seen.keys() - PLACES.keys()):
        print(f"a text could become code in {place} (line {seen[place]}): do without it")
    for place in sorted(PLACES.keys() - seen.keys()):
        print(f"scripts/sinks.py excuses {place}, which is gone: remove the line")
    return int(seen.keys() != PLACES.keys())


if __name__ == "__main__":
    sys.exit(main())
