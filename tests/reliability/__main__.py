"""Measure figures and keep them: python -m reliability [--every 1] [R1 R2 ...].

Without names every figure is measured, each in a process of its own, but for those whose record is
of the very same source: so an interrupted run goes on. A figure that is worse than its committed
record is told, and its record stays. Exit code 1 where one is. With --every 40 one of forty
attempts is made, for a quick look, and nothing is kept.
"""

import argparse
import subprocess
import sys

from .records import NAMES, committed, fallen, figures, measured, state, stored, write
from .tally import Tally


def one(name: str) -> list[str]:
    """Measure a figure; what is worse than promised."""
    known = figures()
    if name not in known:
        return [f"There is no figure {name}. There are: {', '.join(known)}."]
    record = measured(name, known[name])
    print(f"\r{name} {NAMES[name]}: {record['survived']} of {record['tried']} survived")
    sampled = Tally.every > 1
    wrong = fallen(record, None if sampled else committed(name))
    if not (wrong or sampled):
        write(record)
    return wrong


def every() -> list[str]:
    """Measure all of them; the names of those that are worse than promised."""
    now, wrong = state(), []
    for name in figures():
        record = stored(name)
        if record is not None and now is not None and record["state"] == now:
            print(f"{name} {NAMES[name]}: {record['survived']} of {record['tried']}, as before")
        elif subprocess.run([sys.executable, "-m", "reliability", name], check=False).returncode:
            wrong.append(f"{name} is not what was promised, see above.")
    if missing := [name for name in NAMES if name not in figures()]:
        wrong.append(f"Nobody measures {', '.join(missing)}.")
    return wrong


def main() -> None:
    """Some figures or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    Tally.every = options.every
    wrong = [said for name in options.names for said in one(name)] if options.names else every()
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
