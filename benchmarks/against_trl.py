"""Measure jumar beside TRL, and write docs/results/performance.md.

python benchmarks/against_trl.py                      the cases that are missing, then the page
python benchmarks/against_trl.py --case varied        this one anew
python benchmarks/against_trl.py --quick              all of it on very little work: whether it runs
python benchmarks/against_trl.py --check              only compare the page with the records

A record is kept where every file is as committed; elsewhere the numbers are only printed. One that
was interrupted goes on with the cases that are missing. Linux only; `memory` holds 10 GB.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from speed.cases import CASES
from speed.page import NAMES, page, section
from speed.records import PAGE, changed, keep, made, stored


def measured(name: str, quick: bool) -> dict[str, Any]:
    """A case, done now."""
    if name in CASES:
        found = import_module("speed.training").measured(CASES[name], quick)
    else:
        found = import_module(f"speed.{name}").measured(quick)  # TRL and torch: not for --check
    return {**found, "made": made()}


def main() -> None:
    """Run what is asked for, print it, write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--case", nargs="+", choices=NAMES)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.check:
        there = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        sys.exit(0 if there == page() else f"{PAGE} is stale: python benchmarks/against_trl.py")
    kept = not options.quick and not changed()
    missing = [name for name in NAMES if options.quick or stored(name) is None]
    for name in options.case or missing:
        record = measured(name, options.quick)
        print("\n\n".join(section(name, record)), end="\n\n", flush=True)
        if kept:
            keep(name, record)
            _write()
        else:
            print("It is not kept: a quick look, or files that are not as committed.\n")
    if not options.quick:
        _write()


def _write() -> None:
    """The page and its picture, from the records that are there."""
    if text := page():
        PAGE.write_text(text, encoding="utf-8")
        import_module("speed.picture").draw()


if __name__ == "__main__":
    main()
