"""Measure hosts and write docs/results/parity/<host>.json: python -m parity local trl."""

import sys

from .records import write

for name in sys.argv[1:]:
    write(name)
