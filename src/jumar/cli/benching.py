"""`jumar bench`: every algorithm on the same work, and their leaderboard."""

from collections.abc import Sequence
from pathlib import Path

from jumar.cli.output import NoMarkup
from jumar.errors import ConfigurationError


def bench_and_write(
    names: Sequence[str], scale: str, out: Path, work: Path, jobs: int, *, check: bool
) -> None:
    """Run what is missing, then write the page; `check` only compares the page."""
    from jumar import bench
    from jumar.engines.local.checkpoint import write_text

    if scale != "tiny":
        raise ConfigurationError(
            f"--scale got {scale!r}, but the bench has only tiny: so many algorithms need runs of "
            "seconds. For real models take the recipes of `jumar reproduce PAPER --scale small`."
        )
    store, file = out / "bench", out / "bench.md"
    if check:
        if not file.is_file() or file.read_text(encoding="utf-8") != bench.page(store):
            raise ConfigurationError(
                f"{file} is not what the records in {store} say, and it has to be, to be believed. "
                f"Write it anew with `jumar bench --out {out}`."
            )
        return
    console = NoMarkup(stderr=True)
    runners = bench.runners(names, store, work, jobs, console.print)
    missing = sum(runner.missing() for runner in runners)
    console.print(f"{missing} runs to make, {jobs} at a time; stop and go on as you like.")
    store.mkdir(parents=True, exist_ok=True)
    try:
        bench.run(runners, console.print)
    finally:  # what is there is worth a page, whatever stopped the rest
        if bench.found(store).by_arm:
            write_text(file, bench.page(store))
            NoMarkup().print(f"Written: {file}")
