"""YAML as recipes use it: plain data, read by the rules of YAML 1.2.

PyYAML's own rules are those of 1.1, where `1e-6` is text, `no` is false and `010` is eight. Only
plain data can come out (the loader is PyYAML's safe one); duplicate keys and aliases are refused.
"""

import re
from typing import Any

import yaml

from jumar.errors import ConfigurationError

_FLOAT = r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan"
_RULES = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (_FLOAT, list("-+.0123456789")),
}


class _Loader(yaml.SafeLoader):
    """Safe, and without the rules of 1.1."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "it has an alias (*name)", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                problem = f"the key `{key.value}` stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what either version would read as something else than text."""


_Loader.yaml_implicit_resolvers = {}
for _name, (_rule, _first) in _RULES.items():
    for _class in (_Loader, _Dumper):
        _tag = f"tag:yaml.org,2002:{_name}"
        _class.add_implicit_resolver(_tag, re.compile(f"(?:{_rule})$"), _first)


def read(text: str, *, source: str) -> Any:
    """The data in `text`; where it is none, a ConfigurationError names `source` and the line."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        deep = isinstance(error, RecursionError)
        problem = getattr(error, "problem", None) or ("it is nested too deeply" if deep else error)
        raise ConfigurationError(
            f"{source}{where} needs to be plain YAML, so that it has one meaning, but {problem}. "
            "Correct the line; a recipe has `key: value` pairs, each key once, and no aliases."
        ) from None


def written(data: Any) -> str:
    """The text that `read` turns into `data` again, keys in their order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
