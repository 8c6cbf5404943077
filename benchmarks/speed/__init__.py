"""jumar and TRL on the same work; `benchmarks/against_trl.py` is the command."""
