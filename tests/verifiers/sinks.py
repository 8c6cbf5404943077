"""Which reasoning-gym scorers can reach code execution, found by reading the installed package.

The reading errs on the side of alarm: any mention of a name counts as a call, and a mention of a
method reaches every method of that name in the modules at hand.
"""

import ast
from pathlib import Path

SINKS = frozenset(
    {"eval", "exec", "compile", "__import__", "parse_expr", "sympify", "lambdify", "literal_eval",
     "parse_latex", "loads_pickle", "Popen", "check_output", "getoutput", "import_module"}
)  # fmt: skip
SINK_MODULES = frozenset(
    {"pickle", "dill", "marshal", "shelve", "subprocess", "os", "runpy", "ctypes"}
)
Place = tuple[str, str]  # (module, function or Class.method)


class Package:
    """Every function of a package, what each mentions, and what the names of a module stand for."""

    def __init__(self, root: Path) -> None:
        self.name = root.name
        self.mentions: dict[Place, set[str]] = {}
        self.by_name: dict[tuple[str, str], list[Place]] = {}
        self.imports: dict[str, dict[str, tuple[str, str]]] = {}
        self.classes: dict[Place, list[str]] = {}
        for file in sorted(root.rglob("*.py")):
            module = ".".join([root.name, *file.relative_to(root).with_suffix("").parts])
            self._read(module.removesuffix(".__init__"), file)

    def _read(self, module: str, file: Path) -> None:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        self.imports[module] = {}
        is_package = file.name == "__init__.py"
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom | ast.Import):
                self._read_import(module, node, is_package)
            elif isinstance(node, ast.ClassDef):
                bases = [b.id if isinstance(b, ast.Name) else "" for b in node.bases]
                self.classes[module, node.name] = bases
                for item in node.body:
                    if isinstance(item, ast.FunctionDef):
                        self._add(module, f"{node.name}.{item.name}", item)
            elif isinstance(node, ast.FunctionDef):
                self._add(module, node.name, node)

    def _read_import(self, module: str, node: ast.Import | ast.ImportFrom, package: bool) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                self.imports[module][name] = (alias.name, "")
            return
        parts = module.split(".") if package else module.split(".")[:-1]
        parts = parts[: len(parts) - (node.level - 1)] if node.level else []
        source = ".".join([*parts, *([node.module] if node.module else [])])
        for alias in node.names:
            self.imports[module][alias.asname or alias.name] = (source, alias.name)

    def _add(self, module: str, name: str, node: ast.FunctionDef) -> None:
        words = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        words |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
        self.mentions.setdefault((module, name), set()).update(words)
        self.by_name.setdefault((module, name.rpartition(".")[2]), []).append((module, name))

    def score_answer(self, module: str, class_name: str) -> Place | None:
        """Where a class's score_answer is written: in it, or in a base of the package."""
        if (module, f"{class_name}.score_answer") in self.mentions:
            return module, f"{class_name}.score_answer"
        for base in self.classes.get((module, class_name), []):
            source, name = self.imports[module].get(base, (module, base))
            found = self._resolve_class(source, name)
            if found and (place := self.score_answer(*found)):
                return place
        return None

    def _resolve_class(self, module: str, name: str) -> Place | None:
        for _ in range(5):
            if (module, name) in self.classes:
                return module, name
            if name not in self.imports.get(module, {}):
                return None
            module, name = self.imports[module][name]
        return None

    def reached_sinks(self, start: Place) -> set[str]:
        """Names of sinks that can be reached from a function."""
        seen, waiting, sinks = {start}, [start], set()
        while waiting:
            module, name = waiting.pop()
            for word in self.mentions[module, name]:
                own = self.by_name.get((module, word), []) + self._methods(module, word)
                source, original = self.imports[module].get(word, ("", ""))
                there = self.by_name.get((source, original), []) + self._methods(source, original)
                if word in SINKS and not own and not there:
                    sinks.add(word)
                if source.split(".")[0] in SINK_MODULES:
                    sinks.add(source)
                near = [p for m in self._near(module) for p in self.by_name.get((m, word), [])]
                new = [place for place in {*own, *there, *near} if place not in seen]
                seen.update(new)
                waiting.extend(new)
        return sinks

    def _near(self, module: str) -> set[str]:
        """Modules that this one imports from, through others too; objects come from there."""
        seen, waiting = set(), [module]
        while waiting:
            for source, name in self.imports.get(waiting.pop(), {}).values():
                for candidate in (source, f"{source}.{name}"):
                    if candidate in self.imports and candidate not in seen:
                        seen.add(candidate)
                        waiting.append(candidate)
        return seen

    def _methods(self, module: str, class_name: str) -> list[Place]:
        """Naming a class reaches all of its methods."""
        prefix = f"{class_name}."
        if (module, class_name) not in self.classes:
            return []
        return [p for p in self.mentions if p[0] == module and p[1].startswith(prefix)]
