"""What a verl user writes under `jumar`, as in a recipe: the algorithm, and what it reads.

+jumar.algorithm.name=owpo +jumar.algorithm.w_max=4.0
+jumar.algorithm.name=a_star_po +jumar.values.file=rewards.safetensors
+jumar.algorithm.name=erpd_student +jumar.batch=DIRECTORY +jumar.signal=DIRECTORY
+jumar.algorithm.name=owpo +jumar.correction.kind=truncated
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from jumar import algorithms
from jumar.algorithm import Algorithm
from jumar.correction import corrected
from jumar.engines.settings import CorrectionSettings, Settings
from jumar.errors import ConfigurationError, nearest


class ValueSettings(Settings):
    """V* of each prompt: from what the reference's own responses earned."""

    file: Path  # `rewards.safetensors` of A*-PO's stage 1, or the JSON lines of verl's validation
    beta_value: float | Literal["mean"] = 0.5  # between the largest reward (0) and their mean


class VerlSettings(Settings):
    """Everything under `jumar`."""

    algorithm: str | dict[str, Any]
    correction: CorrectionSettings = CorrectionSettings()
    values: ValueSettings | None = None
    columns: tuple[str, ...] = ()  # numbers that `extra_info` or the reward function gives
    reward_parts: tuple[str, ...] = ()  # which of those are the parts of the score
    batch: Path | None = None  # a fixed batch that is trained on, instead of sampling
    signal: Path | None = None  # the log-ratio of that batch, as the verb `log_ratio` leaves it
    full_mark: float = 1.0  # `correct` is a score of at least this, where there is no `acc`
    seed: int = Field(default=0, ge=0)  # of the draws that an algorithm makes

    def provides(self) -> set[str]:
        """The columns that the user brings, besides those of a fixed batch."""
        values = {"optimal_values"} if self.values else set()
        return {*self.columns, *values, *({"reward_parts"} if self.reward_parts else ())}

    def record(self) -> Algorithm:
        """The algorithm itself, corrected for the sampler where that is asked for."""
        given = {"name": self.algorithm} if isinstance(self.algorithm, str) else self.algorithm
        return corrected(algorithms.get(**given), **dict(self.correction))


def read(given: Mapping[str, Any] | None) -> VerlSettings:
    """The settings, checked; `given` is the section `jumar` of verl's config."""
    if not given or not _names_algorithm(given.get("algorithm")):
        raise ConfigurationError(
            "verl's trainer mode is jumar, but no algorithm is named. The loss comes from it. Add "
            "+jumar.algorithm.name=owpo to the command (`jumar list algorithms` names them all)."
        )
    for name in given:
        if name not in VerlSettings.model_fields:
            raise ConfigurationError(
                f"`jumar.{name}` is no setting of the verl adapter, and a mistyped one would "
                f"train something else. {nearest(name, VerlSettings.model_fields)}"
            )
    try:
        return VerlSettings.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in ("jumar", *first["loc"]))
        raise ConfigurationError(
            f"`{place}` is {first['input']!r}, and the verl adapter cannot read that: "
            f"{first['msg']}. A wrong setting would train something else. Correct it."
        ) from None


def _names_algorithm(given: Any) -> bool:
    return isinstance(given, str) or (isinstance(given, Mapping) and "name" in given)
