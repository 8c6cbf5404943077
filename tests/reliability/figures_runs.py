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

from .runs import PROGRAMS, Run, prepared, trained_alone
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


def cut_and_resumed(run: Run, home: Path, left: object, strike: int, how: str | int) -> None:
    """A fault at one file operation, and the same bits after going on."""
    struck = run.struck(home, strike, how)
    if isinstance(how, int):
        assert struck.refused, f"no clear error: {struck.broke[-300:] or 'it went on'}"
    else:
        assert struck.killed or struck.gave, struck
    assert run.resumed(home).result() == left, "other bits"
    shutil.rmtree(home)


def bit_exact_resume() -> tuple[int, int, list[str]]:
    """Every algorithm and every program is killed (SIGKILL) at file operations all over its run,
    at least one in each step and stage, and resumed: it survives where every weight, moment and
    state, and every sampled token, reward and metric, is bit for bit that of the undisturbed run.
    """
    tally = Tally()
    with place() as at:
        runs = {name: Run.of_program(at, name) for name in PROGRAMS}
        runs |= {name: Run.of_algorithm(at, name, STEPS) for name in trained_alone()}
        for name, run in runs.items():
            left, operations = run.undisturbed(at / "whole")
            shutil.rmtree(at / "whole")
            parts = 12 if name in PROGRAMS else STEPS
            draw = random.Random(name)
            for part in range(parts):
                strike = draw.randrange(
                    operations * part // parts, operations * (part + 1) // parts
                )
                with tally.trying(f"{name} killed at file operation {strike + 1}"):
                    cut_and_resumed(run, at / "cut", left, strike + 1, "kill")
                shutil.rmtree(at / "cut", ignore_errors=True)
    return tally.result


def crash_points() -> tuple[int, int, list[str]]:
    """A plain run and a ratchet are killed before each single file operation that they make (to
    open, write, flush, rename, remove), and again with the file that was written last cut in two:
    it survives where the run goes on from a complete checkpoint and ends in the same bits.
    """
    tally = Tally()
    with place() as at:
        for name in ("plain", "ratchet"):
            run = Run.of_program(at, name)
            left, operations = run.undisturbed(at / "whole")
            shutil.rmtree(at / "whole")
            for strike in range(1, operations + 1):
                for how in ("kill", "torn"):
                    with tally.trying(f"{name}, {how} at file operation {strike}"):
                        cut_and_resumed(run, at / "cut", left, strike, how)
                    shutil.rmtree(at / "cut", ignore_errors=True)
    return tally.result


def spoiled_files() -> tuple[int, int, list[str]]:
    """Each file of runs that were killed halfway is cut, emptied, has a bit flipped, is removed,
    replaced by that of another run and replaced by a pickle that leaves a mark; foreign files are
    added. It survives where resuming refuses and names the file or its directory, or ends in the
    same bits because nothing reads the file; and where no pickle was loaded.
    """
    tally = Tally()
    with place() as at:
        for name in ("ratchet", "erpd weak"):
            run, other = Run.of_program(at, name), Run.of_program(at, name, seed=1)
            left, operations = run.undisturbed(at / "whole")
            strike = operations * 3 // 4
            run.struck(at / "cut", strike, "kill")
            other.struck(at / "other", strike, "kill")
            for file in sorted(path for path in (at / "cut").rglob("*") if path.is_file()):
                for harm in HARMS:
                    home = at / "spoiled"
                    shutil.copytree(at / "cut", home)
                    inside = home / file.relative_to(at / "cut")
                    twin = at / "other" / file.relative_to(at / "cut")
                    if not alters(inside, harm, twin):
                        shutil.rmtree(home)
                        continue
                    with tally.trying(f"{name}: {file.relative_to(at / 'cut')} {harm}"):
                        spoil(inside, harm, twin)
                        ends_well(run.resumed(home), inside, left)
                        assert not bomb_went_off(), "a pickle was loaded"
                    shutil.rmtree(home)
            for directory in ("whole", "cut", "other"):
                shutil.rmtree(at / directory)
    return tally.result


def refusing_disks() -> tuple[int, int, list[str]]:
    """At file operations all over the runs of four programs the disk is full, read-only, or denies
    permission: it survives where the run stops with a message that says what to do, earlier
    checkpoints stay, and it ends in the same bits when it is resumed with the disk mended.
    """
    tally = Tally()
    with place() as at:
        for name in ("plain", "ratchet", "a_star_po", "erpd strong"):
            run = Run.of_program(at, name)
            left, operations = run.undisturbed(at / "whole")
            shutil.rmtree(at / "whole")
            for refusal in REFUSALS:
                points = random.Random(name).sample(range(1, operations + 1), POINTS)
                for strike in sorted(points):
                    what = f"{name}, {os.strerror(refusal)} at file operation {strike}"
                    with tally.trying(what):
                        cut_and_resumed(run, at / "cut", left, strike, refusal)
                    shutil.rmtree(at / "cut", ignore_errors=True)
    return tally.result


FIGURES = {"R1": bit_exact_resume, "R2": crash_points, "R3": spoiled_files, "R18": refusing_disks}
