"""The sandbox for tests that need one."""

import os

import pytest

from jumar.errors import ConfigurationError
from jumar.verifiers.sandbox import Sandbox


def isolated() -> Sandbox:
    """Without isolation a test is skipped aloud, or fails if JUMAR_REQUIRE_PEERS=1."""
    try:
        return Sandbox(cpu_seconds=1, memory_mb=256)
    except ConfigurationError as error:
        message = f"no program was run: {error}"
        (pytest.fail if os.environ.get("JUMAR_REQUIRE_PEERS") == "1" else pytest.skip)(message)
        raise
