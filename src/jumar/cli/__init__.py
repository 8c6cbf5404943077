"""The command line. What a command needs is imported inside it, so that help answers at once."""

from pathlib import Path
from typing import Annotated, Any

import typer

from jumar import __version__
from jumar.cli.output import NoMarkup, print_json, reported

app = typer.Typer(
    name="jumar",
    help="Post-train language models with reinforcement learning from verifiable rewards.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

TASK = "A name of `jumar list tasks`, file:PATH.jsonl or module:function."
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other setting.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


def main() -> None:
    """What `jumar` and `python -m jumar` run."""
    app()


def _examples(*lines: str) -> str:
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])  # \\b: not refilled


def _version(asked: bool) -> None:
    if asked:
        NoMarkup().print(f"jumar {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""


@app.command(
    epilog=_examples(
        "jumar train quickstart",
        "jumar train quickstart --algorithm grpo --seed 1 --set rollout.prompts=32",
        "jumar train gsm8k --model ./my-model --set program.steps=500 --out runs/mine",
        "jumar train runs/mine/config.yaml --out runs/mine --resume",
    )
)
def train(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="A name of `jumar list recipes`, or a YAML file."),
    ],
    model: Annotated[
        str | None, typer.Option(metavar="M", help="tiny, a directory or a hub name.")
    ] = None,
    task: Annotated[str | None, typer.Option(metavar="T", help=TASK)] = None,
    algorithm: Annotated[
        str | None, typer.Option(metavar="A", help="A name of `jumar list algorithms`.")
    ] = None,
    engine: Annotated[str | None, typer.Option(metavar="E", help="local or vllm.")] = None,
    settings: Settings = None,
    seed: Annotated[
        int | None, typer.Option(metavar="S", help="Another seed, another run.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run directory; runs/RECIPE-ALGORITHM-seedN by default."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a run stopped.")] = False,
) -> None:
    """Train a model by a recipe."""
    from jumar.cli.training import train_recipe

    flags = {"model": model, "task": task, "algorithm": algorithm, "engine": engine, "seed": seed}
    with reported():
        train_recipe(recipe, settings or [], flags, out, resume=resume)


@app.command(
    name="eval",
    epilog=_examples(
        "jumar eval tiny --task gym:chain_sum",
        "jumar eval runs/mine --task gsm8k --task math -k 4 --greedy --json",
        "jumar eval ./my-model --task math --set rollout.max_response_tokens=4096",
    ),
)
def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="tiny, a directory, a run or a hub name.")
    ],
    task: Annotated[
        list[str], typer.Option(metavar="T", help=f"{TASK} More than once: several tasks.")
    ],
    samples: Annotated[
        int, typer.Option("-k", min=1, metavar="K", help="Responses per prompt.")
    ] = 16,
    greedy: Annotated[
        bool, typer.Option("--greedy", help="Also the one response at temperature 0.")
    ] = False,
    settings: Settings = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For every response; runs/eval-MODEL-TASK by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a model, each number with its interval.

    pass@1, pass@k, avg@k and maj@k on the tasks' test splits, with 95 % intervals.
    """
    from jumar.cli.evaluating import evaluate_and_print

    with reported():
        evaluate_and_print(
            model, task, samples, settings or [], out, greedy=greedy, as_json=as_json
        )


@app.command(
    name="list",
    epilog=_examples(
        "jumar list algorithms",
        "jumar list programs",
        "jumar list tasks --json",
    ),
)
def list_(
    what: Annotated[str, typer.Argument(metavar="algorithms|programs|tasks|recipes")],
    as_json: AsJson = False,
) -> None:
    """List what there is, one line each."""
    from jumar.cli.listing import listing

    with reported():
        rows: list[dict[str, Any]] = listing(what)
        if as_json:
            print_json(rows)
        else:
            NoMarkup().columns([(row["name"], row["description"]) for row in rows])


@app.command(
    epilog=_examples(
        "jumar show owpo",
        "jumar show ratchet",
    )
)
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A name of `jumar list algorithms` or `jumar list programs`."
        ),
    ],
) -> None:
    """Show an algorithm's formula, paper and record, or a program's stages."""
    from jumar.cli.showing import shown

    with reported():
        NoMarkup().print(shown(name))


@app.command(
    epilog=_examples(
        "jumar report runs/mine",
        "jumar report runs/mine --out mine.html",
    )
)
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page.  [default: RUN/report.html]")
    ] = None,
) -> None:
    """Write a run as one HTML page: scores, curves, responses token by token.

    `jumar train` writes it at the end. It may be asked for earlier, while a run goes on.
    """
    from jumar.cli.reporting import report_and_print

    with reported():
        report_and_print(run, out)


@app.command(
    epilog=_examples(
        "jumar compare runs/owpo-seed* runs/grpo-seed*",
        "jumar compare runs/mine runs/other --html comparison.html",
    )
)
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.")],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with curves, too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs: seeds of one configuration pooled, changes paired by prompt."""
    from jumar.cli.comparing import compare_and_print

    with reported():
        compare_and_print(runs, html=html, as_json=as_json)


@app.command(
    epilog=_examples(
        "jumar reproduce a_star_po",
        "jumar reproduce a_star_po --jobs 8 --out my-results",
        "jumar reproduce a_star_po --scale paper --out recipes",
        "jumar reproduce a_star_po --check",
    )
)
def reproduce(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help="a_star_po, erpd or owpo.")],
    scale: Annotated[
        str,
        typer.Option(metavar="S", help="tiny is run here; small and paper are written as recipes."),
    ] = "tiny",
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Records and page are kept here.")
    ] = Path("docs/results"),
    work: Annotated[
        Path, typer.Option(metavar="DIR", help="Run directories are made here.")
    ] = Path("runs/reproduce"),
    jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Runs at a time, one thread each.")
    ] = 2,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare the page with its records.")
    ] = False,
) -> None:
    """Repeat a paper's comparison at a small scale, with a verdict for each of its claims.

    What is finished is kept: stop it and give the same command again.
    """
    from jumar.cli.reproducing import reproduce_and_write, write_recipes

    with reported():
        if scale == "tiny":
            reproduce_and_write(paper, out, work, jobs, check=check)
        else:
            write_recipes(paper, scale, out)


@app.command(
    epilog=_examples(
        "jumar bench",
        "jumar bench grpo owpo --out again",
        "jumar bench --check",
    )
)
def bench(
    algorithm: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ALGORITHM...]", help="Names of `jumar list algorithms`: all."),
    ] = None,
    scale: Annotated[str, typer.Option(metavar="S", help="tiny is the only one.")] = "tiny",
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Records and page are kept here.")
    ] = Path("docs/results"),
    work: Annotated[
        Path, typer.Option(metavar="DIR", help="Run directories are made here.")
    ] = Path("runs/bench"),
    jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Runs at a time, one thread each.")
    ] = 2,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare the page with its records.")
    ] = False,
) -> None:
    """Train every algorithm on the same work: same budget, same tuning, three seeds.

    What is finished is kept: stop it and give the same command again.
    """
    from jumar.cli.benching import bench_and_write

    with reported():
        bench_and_write(algorithm or [], scale, out, work, jobs, check=check)


@app.command(
    epilog=_examples(
        "jumar check --task gym:chain_sum",
        'jumar check --task "gsm8k?test=test.jsonl&train=train.jsonl" --limit 200',
    )
)
def check(
    task: Annotated[str, typer.Option(metavar="T", help=TASK)],
    split: Annotated[
        str, typer.Option(metavar="SPLIT", help="train, validation or test.")
    ] = "test",
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most so many examples.")
    ] = None,
) -> None:
    """Try a task's verifier before time is spent.

    It has to accept every gold answer, and to refuse empty ones and those of other questions.
    """
    from jumar.cli.checking import check_and_print

    with reported():
        check_and_print(task, split, limit)


@app.command(
    epilog=_examples(
        "jumar plan owpo",
        "jumar plan owpo --model Qwen2.5-32B --set plan.gpu=h200 --set plan.ranks=16",
        "jumar plan dapo --set lora.rank=32 --engine vllm --json",
    )
)
def plan(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="A name of `jumar list recipes`, or a YAML file."),
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="M", help="A directory with a config.json, or a known model."),
    ] = None,
    algorithm: Annotated[
        str | None, typer.Option(metavar="A", help="A name of `jumar list algorithms`.")
    ] = None,
    engine: Annotated[str | None, typer.Option(metavar="E", help="local or vllm.")] = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Estimate what a run needs: memory, time, network and disk.

    Each number comes with its formula. The machine and all that is assumed are settings of `plan`.
    """
    from jumar.cli.planning import plan_and_print

    flags = {"model": model, "algorithm": algorithm, "engine": engine}
    with reported():
        plan_and_print(recipe, settings or [], flags, as_json=as_json)
