"""Rewards from running code: a tiny model learns to write the programs that its prompts ask for.

    python examples/programs.py        needs bubblewrap (`make system-deps`)

Thirty one-line functions of two numbers, each asked for in four ways. The base has seen
demonstrations, many of them wrong, each kind of function in its own way. The verifier runs each
program on four calls in a sandbox and compares what comes back outside; VeRPO learns from every
call on its own.
"""

import argparse
import itertools
import json
import random
from pathlib import Path

from jumar import Run

# what is asked for: (the body of the function, what it gives)
FUNCTIONS = {
    "sum": ("a + b", lambda a, b: a + b),
    "difference": ("a - b", lambda a, b: a - b),
    "difference, turned round": ("b - a", lambda a, b: b - a),
    "product": ("a * b", lambda a, b: a * b),
    "larger one": ("max(a, b)", max),
    "smaller one": ("min(a, b)", min),
    "distance": ("abs(a - b)", lambda a, b: abs(a - b)),
    "rest": ("a % b", lambda a, b: a % b),
    "whole quotient": ("a // b", lambda a, b: a // b),
    "first": ("a", lambda a, b: a),
    "second": ("b", lambda a, b: b),
    "twice the first": ("2 * a", lambda a, b: 2 * a),
    "twice the second": ("2 * b", lambda a, b: 2 * b),
    "twice the sum": ("2 * (a + b)", lambda a, b: 2 * (a + b)),
    "square of the first": ("a * a", lambda a, b: a * a),
    "square of the second": ("b * b", lambda a, b: b * b),
    "sum of squares": ("a * a + b * b", lambda a, b: a * a + b * b),
    "square of the sum": ("(a + b) ** 2", lambda a, b: (a + b) ** 2),
    "negative first": ("-a", lambda a, b: -a),
    "negative sum": ("-(a + b)", lambda a, b: -(a + b)),
    "sum and one": ("a + b + 1", lambda a, b: a + b + 1),
    "product less one": ("a * b - 1", lambda a, b: a * b - 1),
    "mean": ("(a + b) / 2", lambda a, b: (a + b) / 2),
    "pair": ("[a, b]", lambda a, b: [a, b]),
    "pair, turned round": ("[b, a]", lambda a, b: [b, a]),
    "sorted pair": ("sorted([a, b])", lambda a, b: sorted([a, b])),
    "is equal": ("a == b", lambda a, b: a == b),
    "is less": ("a < b", lambda a, b: a < b),
    "is more": ("a > b", lambda a, b: a > b),
    "text": ("str(a) + str(b)", lambda a, b: str(a) + str(b)),
}
WAYS = ("the {}", "give the {}", "{} of a and b", "f: {}")
CALLS = ((3, 5), (9, 2), (-4, 7), (6, 6))
RELIABILITY = (0.2, 1.0)  # of demonstrations; each function has one of its own


def program(body: str) -> str:
    return f"def f(a, b):\n    return {body}"


def rows() -> list[dict[str, object]]:
    """A prompt for every function and way to ask, with the tests and a solution."""
    return [
        {
            "prompt": way.format(wanted),
            "function": wanted,
            "tests": [{"call": "f", "arguments": c, "returns": does(*c)} for c in CALLS],
            "solution": program(body),
        }
        for (wanted, (body, does)), way in itertools.product(FUNCTIONS.items(), WAYS)
    ]


def demonstrations(rows: list[dict[str, object]], draw: random.Random) -> list[dict[str, object]]:
    """Responses to the prompts, some of another function."""
    bodies = [body for body, _ in FUNCTIONS.values()]
    low, high = RELIABILITY
    found: list[dict[str, object]] = []
    for row, _ in itertools.product(rows, range(20)):
        kind = random.Random(str(row["function"]))
        reliable, mistake = low + (high - low) * kind.random(), kind.choice(bodies)
        own = FUNCTIONS[str(row["function"])][0]
        body = own if draw.random() < reliable else mistake
        found.append({"prompt": row["prompt"], "response": f"```python\n{program(body)}\n```"})
    return found


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-steps", type=int, default=350)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--test-prompts", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/programs"))
    options = parser.parse_args()
    every = rows()
    random.Random(0).shuffle(every)
    train, test = every[:90], every[90:]  # no prompt of the test was shown
    shown = write(options.out / "shown.jsonl", demonstrations(train, random.Random(0)))
    Run(
        model="tiny",
        task=f"file:{shown}?template={{prompt}}\n",
        algorithm="sft",
        program={"name": "plain", "steps": options.base_steps},
        rollout={"source": "dataset", "prompts": 64, "max_response_tokens": 64},
        optimiser={"learning_rate": 3e-3, "decay": "linear", "decay_steps": options.base_steps},
        evaluation={"every": 0, "final_prompts": 0},
        out=options.out / "base",
    ).train()
    first = write(options.out / "train.jsonl", train)
    last = write(options.out / "test.jsonl", test)
    Run(
        model=str(options.out / "base" / "final"),
        task=f"file:{first}?verifier=code&test={last}&template={{prompt}}\n",
        algorithm="verpo",
        program={"name": "plain", "steps": options.steps},
        rollout={"prompts": 16, "responses": 8, "max_response_tokens": 64},
        optimiser={"learning_rate": 2e-4, "warmup_steps": 2},  # 1e-3 unlearns in five steps
        evaluation={"every": 0, "final_prompts": options.test_prompts, "final_samples": 4},
        seed=options.seed,
        out=options.out / "trained",
    ).train()


if __name__ == "__main__":
    main()
