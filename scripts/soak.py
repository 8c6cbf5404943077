#!/usr/bin/env python
"""Trains the quickstart with random kills and restarts, and compares it with a run left alone.

    python scripts/soak.py --minutes 60        an hour of kills; the undisturbed run comes first

A run is killed (SIGKILL) after a random time, resumed, and when it is finished, begun again under
the next seed, until the time is over; each is compared with an undisturbed run of its seed: weights
of `final/`, every line of metrics but what clocks said, and the scores. Memory is sampled all the
while. Exit code 1 where anything differs, or memory grows by more than a tenth.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TIMED = ("time/", "tokens_per_second")
SETTINGS = ("loading.threads=1", "checkpoints.every=2", "evaluation.every=5")
LOOK_EVERY = 0.5  # seconds
GROWTH = 0.1  # of the memory of a process, from its middle to its end


def command(seed: int, out: Path, *more: str) -> list[str]:
    """The run of a seed."""
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    options = ["--seed", str(seed), "--out", str(out), *settings, *more]
    return [sys.executable, "-m", "jumar", "train", "quickstart", *options]


def left(out: Path) -> dict[str, Any]:
    """What a finished run holds, without what clocks said."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((out / "summary.json").read_text())
    weights = (out / "final" / "model.safetensors").read_bytes()
    return {
        "weights": hashlib.sha256(weights).hexdigest(),
        "lines": [{k: v for k, v in row.items() if not k.startswith(TIMED)} for row in rows],
        "scores": [summary[part] for part in ("base", "final", "change")],
        "backstops": summary["backstops"],
    }


class Soak:
    """One seed after the other, killed at random."""

    def __init__(self, work: Path, options: list[str], draw: random.Random) -> None:
        self.work, self.options, self.draw = work, options, draw
        self.kills, self.finished = 0, 0
        self.memory: list[list[int]] = []  # bytes, of each process in turn
        self.wrong: list[str] = []

    def go(self, seconds: float, longest: float) -> None:
        """Until the time is over; the run that it ends in is finished without further kills."""
        end, seed = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            alone, killed = self.work / f"alone-{seed}", self.work / f"killed-{seed}"
            self.run(seed, alone)
            while not (killed / "summary.json").exists():
                over = time.monotonic() > end
                self.run(seed, killed, None if over else self.draw.uniform(5.0, longest))
            one, other = left(alone), left(killed)
            self.wrong += [f"seed {seed}: other {part}" for part in one if one[part] != other[part]]
            if one["backstops"]:
                print(f"seed {seed}: {one['backstops']:g} scores ran into a limit of time")
            self.finished, seed = self.finished + 1, seed + 1
            told = f"{self.finished} runs, {self.kills} kills, {len(self.wrong)} differences"
            print(told, flush=True)
            shutil.rmtree(alone)
            shutil.rmtree(killed)

    def run(self, seed: int, out: Path, kill_after: float | None = None) -> None:
        """One process, to its end or to its death."""
        resume = ("--resume",) if (out / "config.yaml").exists() else ()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            command(seed, out, *self.options, *resume), env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        began, seen = time.monotonic(), list[int]()
        while process.poll() is None:
            if (out / "metrics.jsonl").exists() and not (out / "final").exists():
                seen.append(resident(process.pid))  # of the steps alone, not of what is imported
            if kill_after is not None and time.monotonic() - began > kill_after:
                process.send_signal(signal.SIGKILL)
                self.kills += 1
                break
            time.sleep(LOOK_EVERY)
        said = process.communicate(timeout=60)[1]
        self.memory += [] if resume else [seen]
        if process.returncode not in (0, -signal.SIGKILL):
            sys.exit(f"A run ended with {process.returncode}: {said[-1000:]}")


def resident(pid: int) -> int:
    """Bytes of memory of a process; 0 where it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def growth(seen: list[int]) -> float:
    """How much larger the last quarter of a life is than the second, as a share."""
    quarter = len(seen) // 4
    if quarter < 10:
        return 0.0
    middle, last = max(seen[quarter : 2 * quarter]), max(seen[3 * quarter :])
    return last / middle - 1


def main() -> None:
    """Soak, and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--longest", type=float, default=90.0, help="seconds before a kill")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "soak")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    settings = [word for setting in options.settings for word in ("--set", setting)]
    soak = Soak(options.work, settings, random.Random(0))
    soak.go(60 * options.minutes, options.longest)
    most = max(map(growth, soak.memory))
    told = f"{soak.finished} runs, {soak.kills} kills, {len(soak.wrong)} differences"
    print(f"{options.minutes:g} minutes: {told}; memory grew by {most:+.1%} at most.")
    if soak.wrong or most > GROWTH:
        sys.exit("\n".join(soak.wrong) or "Memory grew.")


if __name__ == "__main__":
    main()
