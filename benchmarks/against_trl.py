"""Measure jumar beside TRL, and write docs/results/performance.md.

python benchmarks/against_trl.py                      the cases that are missing, then the page
python benchmarks/against_trl.py --case varied        this one anew
python benchmarks/against_trl.py --case short --pairs 2     a quick look, of which nothing is kept
python benchmarks/against_trl.py --check              only compare the page with the records

A record is kept where every file is as committed; elsewhere the numbers are only printed.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # threads of the side that waits sleep
sys.path.insert(0, str(Path(__file__).parent))

from speed.cases import CASES
from speed.page import page, section
from speed.records import PAGE, changed, keep, made, stored


def measured(name: str, pairs: int | None) -> dict[str, Any]:
    """A case, done now."""
    from speed import training  # TRL and torch: not for --check

    return {**training.measured(CASES[name], pairs), "made": made()}


def main() -> None:
    """Run what is asked for, print it, write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--case", nargs="+", choices=CASES)
    parser.add_argument("--pairs", type=int)
    options = parser.parse_args()
    if options.check:
        there = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        sys.exit(0 if there == page() else f"{PAGE} is stale: python benchmarks/against_trl.py")
    kept = options.pairs is None and not changed()
    for name in options.case or [name for name in CASES if stored(name) is None]:
        record = measured(name, options.pairs)
        print("\n\n".join(section(name, record)), flush=True)
        if kept:
            keep(name, record)
    if kept:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print("\nNothing is kept: a quick look, or files that are not as committed.")


if __name__ == "__main__":
    main()
