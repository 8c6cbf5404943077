"""Measure figures and keep them: python -m reliability [R1 R2 ...].

Without names every figure is measured, each in a process of its own, but for those whose record is
of the very same source: so an interrupted run goes on. A figure that is worse than its committed
record is told, and its record stays. Exit code 1 where one is.
"""

import subprocess
import sys

from .records import NAMES, committed, fallen, figures, measured, state, stored, write


def one(name: str) -> list[str]:
    """Measure a figure; what is worse than promised."""
    known = figures()
    if name not in known:
        return [f"There is no figure {name}. There are: {', '.join(known)}."]
    record = measured(name, known[name])
    wrong = fallen(record, committed(name))
    if not wrong:
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
    names = sys.argv[1:]
    wrong = [sentence for name in names for sentence in one(name)] if names else every()
    for name in names:
        record = stored(name)
        if record is not None:
            print(f"\r{name} {NAMES[name]}: {record['survived']} of {record['tried']} survived")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
