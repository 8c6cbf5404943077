"""Forks a child for every line that a save executes, kills it there, and looks at what is left.

Prints one JSON object: how many children were killed, and every violation. Runs in a process of its
own, which imports torch once.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from jumar import disk
from jumar.engines.local import checkpoint


def weights(step):
    return {"w": torch.full((64,), float(step)), "v": torch.arange(8.0) * step}


def write(step):
    def writer(path):
        (path / "model").mkdir()
        save_file(weights(step), path / "model" / "model.safetensors")
        save_file(weights(step), path / "optimiser.safetensors")
        (path / "state.json").write_text(json.dumps({"step": step}))

    return writer


def kill_before_line(number):
    """SIGKILL this process before the given executed line of the checkpoint module."""
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        if frame.f_code.co_filename not in (checkpoint.__file__, disk.__file__, __file__):
            return None
        if event == "line":
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def act(root, scenario):
    if scenario == "next":  # a further checkpoint, then the pruning of the oldest
        checkpoint.save(root, 3, write(3), score=0.1)
        checkpoint.prune(root, keep_last=1)
    if scenario == "again":  # the newest is written once more, as after a resume
        checkpoint.save(root, 2, write(2), score=0.2)


def complaint(root, scenario):
    """What is wrong with the checkpoints after a crash, or None."""
    path = checkpoint.newest(root)
    if path is None:
        return "nothing left to resume from"
    step = json.loads((path / "state.json").read_text())["step"]
    if step not in ((2, 3) if scenario == "next" else (2,)):
        return f"resumes from step {step}"
    for name in ("model/model.safetensors", "optimiser.safetensors"):
        found, wanted = load_file(path / name), weights(step)
        if any(not torch.equal(found[key], wanted[key]) for key in wanted):
            return f"{name} of step {step} holds other numbers"
    checkpoint.save(root, 4, write(4))  # a resumed run goes on, and cleans up
    checkpoint.prune(root, keep_last=1)
    left = sorted(entry.name for entry in root.iterdir())
    return None if left == ["step-00000004"] else f"left behind: {left}"


def outcome(root, scenario, number):
    """The exit status of a child that is killed before line `number`, or 0 where it finished."""
    child = os.fork()
    if child == 0:
        kill_before_line(number)
        act(root, scenario)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main(base):
    killed, violations = 0, []
    template = base / "template"
    for step in (1, 2):
        checkpoint.save(template, step, write(step), score=step / 10)
    for scenario in ("next", "again"):
        for number in range(1, 100_000):
            root = base / f"{scenario}-{number}"
            shutil.copytree(template, root)
            status = outcome(root, scenario, number)
            if status == 0:
                break
            assert os.WTERMSIG(status) == signal.SIGKILL
            killed += 1
            try:
                wrong = complaint(root, scenario)
            except Exception as error:
                wrong = repr(error)
            if wrong is not None:
                violations.append(f"{scenario}, line event {number}: {wrong}")
            shutil.rmtree(root)
    print(json.dumps({"killed": killed, "violations": violations}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
