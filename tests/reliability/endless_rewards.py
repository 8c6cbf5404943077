"""Reward functions that give none."""

import os
import signal
from typing import Any


def sleeps(response: str, example: dict[str, Any]) -> float:
    """Never ends, without using the processor."""
    while True:
        signal.pause()


def dies(response: str, example: dict[str, Any]) -> float:
    """Kills its process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 1.0
