"""What the name of a model stands for: `tiny`, a directory of some kind, or a hub name."""

from pathlib import Path


def resolved_model(name: str) -> str:
    """A model directory from a run or checkpoint directory; any other name as it is."""
    for inside in ("final", "model"):
        for file in ("config.json", "adapter_config.json"):
            if (Path(name) / inside / file).is_file():
                return str(Path(name) / inside)
    return name


def place(name: str) -> str:
    """One name for a model, however it is spelled: `a`, `./a`, the run whose final/ it is."""
    if name == "tiny":
        from jumar.engines.local.tiny import tiny_directory

        return str(tiny_directory())
    path = Path(resolved_model(name))
    return str(path.resolve()) if path.is_dir() else name
