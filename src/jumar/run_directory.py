"""The directory of a run: a new one is empty, a resumed one its own, and nobody shares it."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from jumar.config import RunConfig, changed_settings, dump
from jumar.disk import UNFINISHED
from jumar.engines.local.checkpoint import write_text
from jumar.engines.local.locks import LOCK, owned
from jumar.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Looks first, and writes only when nothing else can be wrong."""

    path: Path
    config: RunConfig

    def check(self, resume: bool) -> None:
        """Refuse before anything is loaded."""
        try:
            self._check_content(resume)
        except OSError as error:
            raise self._unwritable(error.strerror) from error
        above = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        if not above.is_dir() or not os.access(above, os.W_OK):
            raise self._unwritable("permission denied" if above.is_dir() else f"{above} is a file")

    def take(self, held: ExitStack, resume: bool) -> None:
        """Write the configuration there; nobody else can until `held` is left."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            held.enter_context(owned(self.path))
        except OSError as error:
            raise self._unwritable(error.strerror) from error
        if self._config.exists() and not resume:  # since it was looked at
            raise self._not_empty()
        write_text(self._config, dump(self.config))

    @property
    def _config(self) -> Path:
        return self.path / "config.yaml"

    def _check_content(self, resume: bool) -> None:
        if resume:
            self._check_own()
            return
        there = self.path.iterdir() if self.path.is_dir() else ()
        left = (LOCK, UNFINISHED)  # by a run that was killed before it began
        if any(not entry.name.startswith(left) for entry in there):
            raise self._not_empty()

    def _check_own(self) -> None:
        if not self._config.is_file():
            raise ConfigurationError(
                f"There is no run to resume in {self.path}: it has no config.yaml. "
                "--resume continues a run that was interrupted. Check --out, or leave --resume."
            )
        then = self._config.read_text(encoding="utf-8", errors="replace")
        if changed := changed_settings(then, self.config):
            raise ConfigurationError(
                f"The run in {self.path} was started with another configuration: it differs in "
                f"{', '.join(changed)}. Going on with this one would mix two runs. Compare with "
                f"{self._config}, or use another --out."
            )

    def _not_empty(self) -> ConfigurationError:
        return ConfigurationError(
            f"The run directory {self.path} is not empty. A new run would overwrite "
            "another's results. Continue it with --resume, or choose another --out."
        )

    def _unwritable(self, reason: str | None) -> ConfigurationError:
        return ConfigurationError(
            f"The run directory {self.path} cannot be written ({reason}). "
            "Checkpoints and metrics go there. Choose another --out."
        )
