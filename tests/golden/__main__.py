"""`make golden`: writes losses.json anew, and says what moved."""

from .goldens import FILE, stored, write

before = stored() if FILE.exists() else {}
write()
moved = sorted(name for name, numbers in stored().items() if before.get(name) != numbers)
print(f"{FILE}: {', '.join(moved) or 'nothing'} moved.")
if before.keys() & set(moved):
    print("Losses that users train with have changed: add an entry under Numerics to CHANGELOG.md.")
