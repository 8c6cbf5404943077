"""`jumar reproduce`: a paper's comparison, run and judged."""

from pathlib import Path

from jumar.cli.output import NoMarkup
from jumar.errors import ConfigurationError, nearest


def reproduce_and_write(paper: str, out: Path, work: Path, jobs: int, *, check: bool) -> None:
    """Run what is missing, then write the page; `check` only compares the page."""
    from jumar import reproduce
    from jumar.engines.local.checkpoint import write_text
    from jumar.reproduce.page import page
    from jumar.reproduce.runs import Runner

    study = reproduce.get(paper)
    store, file = out / paper, out / f"{paper}.md"
    if check:
        if not file.is_file() or file.read_text(encoding="utf-8") != page(study, store):
            raise ConfigurationError(
                f"{file} is not what the records in {store} say, and it has to be, to be believed. "
                f"Write it anew with `jumar reproduce {paper} --out {out}`."
            )
        return
    console = NoMarkup(stderr=True)
    runner = Runner(study=study, store=store, work=work / paper, jobs=jobs, tell=console.print)
    store.mkdir(parents=True, exist_ok=True)
    console.print(f"{runner.missing()} runs to make, {jobs} at a time; stop and go on as you like.")
    runner.run()
    write_text(file, page(study, store))
    NoMarkup().print(f"Written: {file}")


def write_recipes(paper: str, scale: str, out: Path) -> None:
    """The recipes of a larger scale, and what machine they need."""
    from jumar import reproduce
    from jumar.config import dump, parse
    from jumar.engines.local.checkpoint import write_text

    study, console = reproduce.get(paper), NoMarkup()
    if scale not in study.scales:
        raise ConfigurationError(
            f"--scale got {scale!r}, but needs tiny, {' or '.join(study.scales)}, to know which "
            f"models are meant. {nearest(scale, ['tiny', *study.scales])}"
        )
    chosen, directory = study.scales[scale], out / f"{paper}-{scale}"
    console.print(chosen.needs)
    for name, recipe in chosen.recipes.items():
        file = directory / f"{name}.yaml"
        write_text(file, dump(parse(recipe, source=name)))
        console.print(f"jumar train {file} --out runs/{paper}-{scale}/{name}")
