"""The items of a reasoning-gym dataset, the same in every process.

A few generators walk over sets of strings, whose order changes with Python's hash seed; those run
in a child process with a fixed one: `python -m jumar.tasks.generate`, one JSON object in, JSON
lines out.
"""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from typing import Any

from jumar.errors import ConfigurationError, EngineError
from jumar.verifiers.jsonable import from_json, to_json

# a test generates every dataset under two hash seeds and finds any that is missing here
HASH_DEPENDENT = frozenset(
    {"isomorphic_strings", "polynomial_multiplication", "ransom_note", "word_ladder"}
)
Item = dict[str, Any]  # {"question", "answer", "metadata"}, JSON-able
_PATIENCE = 60.0  # seconds of generation that are worth a word to the user
_START, _PER_ITEM = 600.0, 1.0  # seconds that a child process may take; far more than any needs
log = logging.getLogger("jumar.tasks")


def items(name: str, parameters: Mapping[str, Any]) -> Iterator[Item]:
    """`parameters["size"]` items, as JSON-able dicts."""
    if name not in HASH_DEPENDENT:
        yield from generated(name, parameters)
        return
    limit = _START + _PER_ITEM * int(parameters["size"])
    try:
        child = subprocess.run(
            [sys.executable, "-m", "jumar.tasks.generate"],
            input=json.dumps({"name": name, "parameters": to_json(dict(parameters))}).encode(),
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            check=False,
            timeout=limit,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"gym:{name} was waited for, which generates its prompts in a child process, but it "
            f"was not ready after {limit:g} seconds and was ended. Ask for fewer by ?size=."
        ) from error
    lines = child.stdout.splitlines()
    if child.returncode or not lines:
        raise EngineError(
            f"gym:{name} needs a child process to generate its prompts, so that they are the "
            f"same in every run, but it ended with {child.returncode}. See its message above."
        )
    for line in lines:
        item = json.loads(line)
        if "refused" in item:
            raise ConfigurationError(item["refused"])
        yield item


def generated(name: str, parameters: Mapping[str, Any]) -> Iterator[Item]:
    """The items, made in this process."""
    from reasoning_gym.factory import DATASETS

    dataset_class, config_class = DATASETS[name]
    try:
        dataset = dataset_class(config_class(**parameters))
    except (AssertionError, ValueError, TypeError) as error:
        shown = ", ".join(f"{k}={v}" for k, v in parameters.items())
        raise ConfigurationError(
            f"gym:{name} needs parameters that fit together, to generate prompts, but "
            f"reasoning-gym says: {error or 'they do not'}. Change one of {shown}."
        ) from error
    began, size = time.monotonic(), int(parameters["size"])
    for index in range(size):
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # bf prints dots
            entry = dataset[index]
        yield {**entry, "metadata": to_json(entry["metadata"])}
        seconds = (time.monotonic() - began) / (index + 1) * size
        if index == 50 and seconds > _PATIENCE:
            log.warning("gym:%s takes about %.0f minutes to generate %d prompts; ?size= asks for "
                        "fewer.", name, seconds / 60, size)  # fmt: skip


def main() -> None:
    """One request from stdin; a line per item on stdout, or one line that says what is wrong."""
    request = json.loads(sys.stdin.readline())
    try:
        for item in generated(request["name"], from_json(request["parameters"])):
            print(json.dumps(item))
    except ConfigurationError as error:
        print(json.dumps({"refused": str(error)}))


if __name__ == "__main__":
    main()
