"""R1, R2, R3, R18: runs that are killed, whose files are spoiled, whose disk refuses."""

import errno
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from jumar.engines.local.checkpoint import newest

from .runs import PROGRAMS, Run, Whole, prepared, trained_alone
from .spoiling import HARMS, alters, bomb_went_off, ends_well, spoil
from .tally import Tally

torch.set_num_threads(1)
STEPS = 3
REFUSALS = (errno.ENOSPC, errno.EROFS, errno.EACCES)
POINTS = 40  # of each program and refusal


@contextmanager
def place() -> Iterator[Path]:
    """A directory with the models that runs need."""
    with tempfile.TemporaryDirectory() as made:
        yield prepared(Path(made))


class Attempts:
    """Runs below one directory, each in homes of its own."""

    def __init__(self, at: Path, tally: Tally) -> None:
        self.at, self.tally = at, tally

    def undisturbed(self, run: Run) -> Whole:
        """One that nothing happens to."""
        with self.home("whole") as home:
            return run.undisturbed(home)

    def cut(self, name: str, run: Run, whole: Whole, strike: int, how: str | int) -> None:
        """A fault at one file operation: nothing that was finished is lost, and the same bits."""

        def work() -> None:
            with self.home("cut") as home:
                struck = run.struck(home, strike, how)
                if isinstance(how, int):
                    said = struck.broke.strip().splitlines()[-1:] or ["it went on"]
                    same = struck.gave is not None and struck.gave["left"] == whole.left
                    assert struck.refused or same, f"no clear error: {said[0]}"
                else:
                    assert struck.killed, struck.refused or struck.broke or "it went on"
                there = newest(home / "run" / "checkpoints")
                wanted = whole.newest(strike) if not struck.gave else there and there.name
                assert (there and there.name) == wanted, f"{there} is the newest, not {wanted}"
                assert run.resumed(home).result() == whole.left, "other bits"

        fault = os.strerror(how) if isinstance(how, int) else how
        self.tally.attempt(f"{name}, {fault} at file operation {strike}", work)

    @contextmanager
    def home(self, name: str) -> Iterator[Path]:
        """A directory that is gone afterwards."""
        try:
            yield self.at / name
        finally:
            shutil.rmtree(self.at / name, ignore_errors=True)


def bit_exact_resume() -> tuple[int, int, list[str]]:
    """Every algorithm and every program is killed (SIGKILL) at file operations all over its run,
    one in each third or twelfth of them, and resumed: it survives where every weight, moment and
    state, every sampled token, reward and metric is bit for bit that of the undisturbed run.
    """
    tally = Tally()
    with place() as at:
        attempts = Attempts(at, tally)
        runs = {name: Run.of_program(at, name) for name in PROGRAMS}
        runs |= {name: Run.of_algorithm(at, name, STEPS) for name in trained_alone()}
        for name, run in runs.items():
            whole = attempts.undisturbed(run)
            parts = 12 if name in PROGRAMS else STEPS
            draw = random.Random(name)
            for part in range(parts):
                first, last = (
                    whole.operations * part // parts,
                    whole.operations * (part + 1) // parts,
                )
                attempts.cut(name, run, whole, draw.randrange(first, last) + 1, "kill")
    return tally.result


def crash_points() -> tuple[int, int, list[str]]:
    """A plain run and a ratchet are killed before each single file operation that they make (to
    open, write, flush, rename, remove), and again with the file that was written last cut in two:
    it survives where the run goes on from a complete checkpoint and ends in the same bits.
    """
    tally = Tally()
    with place() as at:
        attempts = Attempts(at, tally)
        for name in ("plain", "ratchet"):
            run = Run.of_program(at, name)
            whole = attempts.undisturbed(run)
            for strike in range(1, whole.operations + 1):
                for how in ("kill", "torn"):
                    attempts.cut(name, run, whole, strike, how)
    return tally.result


def spoiled_files() -> tuple[int, int, list[str]]:
    """Each file of runs that were killed halfway is halved, emptied, has a bit flipped, is removed,
    replaced by that of another run or by a pickle that leaves a mark, or gets a pickle beside it.
    It survives where resuming refuses and names the file or its directory, or ends in the same bits
    because nothing reads the file; and where no pickle was loaded.
    """
    tally = Tally()
    with place() as at:
        attempts = Attempts(at, tally)
        for name in ("ratchet", "erpd weak"):
            run, other = Run.of_program(at, name), Run.of_program(at, name, seed=1)
            whole = attempts.undisturbed(run)
            with attempts.home("cut") as cut, attempts.home("other") as foreign:
                run.struck(cut, whole.operations * 3 // 4, "kill")
                other.struck(foreign, whole.operations * 3 // 4, "kill")
                for file in sorted(path for path in cut.rglob("*") if path.is_file()):
                    for harm in HARMS:
                        inside = file.relative_to(cut)
                        if alters(file, harm, foreign / inside):
                            spoiled(attempts, name, run, whole.left, (cut, foreign, inside), harm)
    return tally.result


def spoiled(
    attempts: Attempts, name: str, run: Run, left: object, where: tuple[Path, ...], harm: str
) -> None:
    """One harm to one file."""
    cut, foreign, inside = where

    def work() -> None:
        with attempts.home("spoiled") as home:
            shutil.copytree(cut, home)
            spoil(home / inside, harm, foreign / inside)
            ends_well(run.resumed(home), home / inside, left)
            assert not bomb_went_off(), "a pickle was loaded"

    attempts.tally.attempt(f"{name}: {inside} {harm}", work)


def refusing_disks() -> tuple[int, int, list[str]]:
    """At file operations all over the runs of four programs the disk is full, read-only, or denies
    permission: it survives where the run stops with a message that says what to do, earlier
    checkpoints stay, and it ends in the same bits when it is resumed with the disk mended.
    """
    tally = Tally()
    with place() as at:
        attempts = Attempts(at, tally)
        for name in ("plain", "ratchet", "a_star_po", "erpd strong"):
            run = Run.of_program(at, name)
            whole = attempts.undisturbed(run)
            for refusal in REFUSALS:
                points = random.Random(name).sample(range(1, whole.operations + 1), POINTS)
                for strike in sorted(points):
                    attempts.cut(name, run, whole, strike, refusal)
    return tally.result


FIGURES = {"R1": bit_exact_resume, "R2": crash_points, "R3": spoiled_files, "R18": refusing_disks}
