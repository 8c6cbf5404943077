"""R11, R12, R15, R16: other hosts, stale weights, missing packages, waits that end."""

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import torch

from jumar.engines.local.forward import response_logprobs
from jumar.engines.local.models import load_model
from jumar.engines.local.sampler import Sampling
from jumar.engines.vllm.probe import TOLERANCE, Probe
from jumar.errors import SynchronisationError
from parity.records import FOLDER, HOSTS, stored

from .records import ROOT
from .runs import prepared
from .tally import Tally

CLEAN, WRONG = 1000, 60  # synchronisations


def cross_runtime_parity() -> tuple[int, int, list[str]]:
    """The committed record of docs/results/parity.md: one optimiser step of each algorithm on the
    same tensors in our own engine and in each other host of that page. A cell is tried where the
    host can train the algorithm, and survives where loss and gradients differ by less than its
    tests allow.
    """
    tally = Tally()
    for host in HOSTS:
        if not (FOLDER / f"{host}.json").is_file():
            continue  # not measured yet
        record = stored(host)
        for name, gaps in record["cells"].items():
            if "reason" not in gaps:
                tally.attempt(
                    f"{name} in {host}",
                    lambda gaps=gaps, limit=record["tolerance"]: _within(gaps, limit),
                )
    return tally.result


def _within(gaps: dict[str, float], limit: float) -> None:
    assert max(gaps.values()) <= limit, gaps


class Pair:
    """A trainer's model and a sampler's, which should have the same weights after each step."""

    def __init__(self, place: Path) -> None:
        self.trainer, _ = load_model(place / "model")
        self.sampler, _ = load_model(place / "model")
        self.probe, self.draw = Probe(TOLERANCE[torch.float32]), torch.Generator().manual_seed(0)
        self.earlier = [self._weights()]
        self.tokens = torch.randint(3, 20, (4, 8), generator=self.draw)
        self.gap()

    def gap(self) -> float:
        """What the probe says of both."""
        return self.probe.gap(*(self._logprobs(m) for m in (self.trainer, self.sampler)))

    def step(self, size: float) -> None:
        """The trainer moves: every weight by about `size`."""
        with torch.no_grad():
            for weight in self.trainer.parameters():
                weight += size * torch.randn(weight.shape, generator=self.draw)
        self.earlier.append(self._weights())

    def synchronise(self, ago: int = 0, without: str = "") -> None:
        """The sampler gets the weights of `ago` steps before, but for those named."""
        weights = self.earlier[-1 - ago]
        kept = {n: w for n, w in weights.items() if not (without and without in n)}
        self.sampler.load_state_dict(kept, strict=False)

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: weight.clone() for name, weight in self.trainer.state_dict().items()}

    def _logprobs(self, model: torch.nn.Module) -> torch.Tensor:
        mask = torch.ones_like(self.tokens, dtype=torch.bool)
        with torch.no_grad():
            found = response_logprobs(
                model, [[3, 4, 5]] * 4, self.tokens, mask, sampling=Sampling(), tokens=10_000
            )
        return found.flatten()


def detects(pair: Pair, size: float, ago: int, without: str) -> None:
    """One synchronisation goes wrong, and is told at once; then a right one."""
    pair.step(size)
    pair.synchronise(ago, without)
    try:
        pair.gap()
    except SynchronisationError:
        return
    finally:
        pair.synchronise()
    raise AssertionError("nothing was noticed")


def stale_weights() -> tuple[int, int, list[str]]:
    """Of synchronisations between a trainer and a sampler 1,000 are right and are let pass; others
    are skipped (after updates of weights by 1e-5, 1e-4 and 1e-2), two steps old, or lack a part of
    the model, and are told at once. The sampler here is a second model on this machine; the suite
    of vLLM does the same with its own processes.
    """
    tally = Tally()
    with tempfile.TemporaryDirectory() as place:
        pair = Pair(prepared(Path(place)))
        for number in range(CLEAN):
            pair.step(1e-4)
            pair.synchronise()
            tally.attempt(f"clean synchronisation {number}", pair.gap)
        faults = [
            *((f"skipped, by {size:g}", size, 1, "") for size in (1e-5, 1e-4, 1e-2)),
            ("two steps old", 1e-2, 2, ""),
            *((f"without {part}", 1e-1, 0, part) for part in ("embed", "layers.1", "lm_head")),
        ]
        for what, size, ago, without in faults:
            for number in range(WRONG):
                pair.step(size)
                pair.synchronise()
                pair.gap()
                tally.attempt(
                    f"{what}, {number}",
                    lambda s=size, a=ago, w=without: detects(pair, s, a, w),
                )
    return tally.result


# ------------------------------------------------------------------ missing packages

IMPORTS = {"math": "math_verify", "hub": "datasets", "lora": "peft"}  # others have their own name
BLOCKER = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""
SMALL = (
    "program.steps=1", "rollout.prompts=2", "rollout.responses=2", "rollout.max_response_tokens=8",
    "evaluation.every=0", "evaluation.final_prompts=0", "loading.threads=1",
)  # fmt: skip


def works_without(names: list[str]) -> None:
    """Import, list, check and train in processes that cannot import these packages."""
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "sitecustomize.py").write_text(BLOCKER.format(names=names))
        settings = [word for setting in SMALL for word in ("--set", setting)]
        for command in (
            ["-c", f"import sys, jumar; assert not sys.modules.keys() & set({names!r})"],
            ["-m", "jumar", "list", "algorithms"],
            ["-m", "jumar", "check", "--task", "gym:chain_sum"],
            ["-m", "jumar", "train", "quickstart", "--out", f"{made}/run", *settings],
        ):
            path = os.pathsep.join([made, str(ROOT / "src")])
            done = subprocess.run(
                [sys.executable, *command], capture_output=True, text=True, timeout=900,
                env={**os.environ, "PYTHONPATH": path}, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{command[:3]}: {done.stderr.strip()[-300:]}"


def optional_packages() -> list[str]:
    """The modules of the extras."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    return [IMPORTS.get(name, name) for name in extras]


def dead_dependencies() -> tuple[int, int, list[str]]:
    """Each optional package is made impossible to import, and then all of them together: it
    survives where importing jumar, `jumar list`, `jumar check` and a training run still work.
    """
    tally = Tally()
    names = optional_packages()
    for name in names:
        tally.attempt(f"without {name}", lambda name=name: works_without([name]))
    tally.attempt("without any", lambda: works_without(names))
    return tally.result


FIGURES = {
    "R11": cross_runtime_parity,
    "R12": stale_weights,
    "R15": dead_dependencies,
}
