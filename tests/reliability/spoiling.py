"""What can happen to a file between two runs, and how a run may take it."""

import os
import pickle
from pathlib import Path
from typing import Any

from .children import Ended

MARK = "JUMAR_BOMB"  # the environment variable with the file that a loaded pickle makes
HARMS = ("halved", "emptied", "flipped", "removed", "foreign", "pickled", "accompanied")


class Bomb:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return open, (os.environ[MARK], "w")


def alters(file: Path, harm: str, twin: Path) -> bool:
    """Whether the harm would change anything."""
    if harm == "foreign":
        return twin.is_file() and twin.read_bytes() != file.read_bytes()
    return harm in ("removed", "pickled", "accompanied") or file.stat().st_size > 0


def spoil(file: Path, harm: str, twin: Path) -> None:
    """`twin` is the same file of another run."""
    os.environ[MARK] = str(file.parents[1] / "bomb")
    Path(os.environ[MARK]).unlink(missing_ok=True)
    content = bytearray(file.read_bytes())
    if harm == "halved":
        file.write_bytes(content[: len(content) // 2])
    elif harm == "emptied":
        file.write_bytes(b"")
    elif harm == "flipped":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif harm == "removed":
        file.unlink()
    elif harm == "foreign":
        file.write_bytes(twin.read_bytes())
    elif harm == "pickled":
        file.write_bytes(pickle.dumps(Bomb()))
    elif harm == "accompanied":
        file.with_name("pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))


def bomb_went_off() -> bool:
    """Whether a pickle was loaded since the last `spoil`."""
    return Path(os.environ[MARK]).exists()


def ends_well(ended: Ended, file: Path, left: Any) -> None:
    """Refused with the file or its directory named, or the bits of the undisturbed run."""
    if ended.refused:
        names = (file.name, str(file.parent), str(file.parent.parent))
        assert any(name in ended.refused for name in names), f"not named: {ended.refused[:200]}"
        return
    assert not ended.broke, ended.broke.strip().splitlines()[-1]
    assert other_than(file, ended.gave) == other_than(file, left), "other bits, nothing was said"


def other_than(file: Path, left: Any) -> dict[str, Any]:
    """What a run leaves but for one file, and for checkpoints before the last: one that is spoiled
    stays where another would have been removed.
    """
    steps = sorted(name.split("/")[1] for name in left if name.startswith("checkpoints/"))
    return {
        name: content
        for name, content in left.items()
        if not str(file).endswith(name)
        and not (name.startswith("checkpoints/") and name.split("/")[1] != steps[-1])
    }
