"""Any algorithm, corrected for a sampler that computes otherwise than the trainer.

    corrected(algorithms.owpo(), kind="truncated", level="token", ratio_max=2.0)

The correction multiplies the algorithm's own token weight, whatever that is. Penalties and the
critic stay as they are.
"""

from dataclasses import replace
from typing import Literal

from jumar.algorithm import Algorithm
from jumar.errors import ConfigurationError
from jumar.pieces import piece
from jumar.surrogates.weighted import weighted_responses
from jumar.weights.correction import Level, masked_correction, product, truncated_correction
from jumar.weights.unit import unit_weight

Kind = Literal["none", "truncated", "masked"]
KINDS = {"truncated": truncated_correction, "masked": masked_correction}


def corrected(
    algorithm: Algorithm,
    *,
    kind: Kind,
    level: Level = "token",
    ratio_min: float = 0.0,
    ratio_max: float = 2.0,
) -> Algorithm:
    """The algorithm with `weights/correction.py` multiplied in; itself where kind is "none"."""
    if kind == "none":
        return algorithm
    _refuse_what_has_no_meaning(algorithm, level)
    weight = piece(KINDS[kind], level=level, ratio_min=ratio_min, ratio_max=ratio_max)
    if "per_response" in algorithm.traits:
        losses = piece(weighted_responses, surrogate=algorithm.surrogate, weight=weight)
        return replace(algorithm, surrogate=losses)
    own, unit = algorithm.token_weight, algorithm.unit
    both = weight if own.fn is unit_weight else piece(product, first=own, second=weight)
    whole = level != "token" and unit == "token"  # the weight needs all tokens of its response
    return replace(algorithm, token_weight=both, unit="response" if whole else unit)


def _refuse_what_has_no_meaning(algorithm: Algorithm, level: Level) -> None:
    if "rollout_logprobs" in algorithm.reads:
        raise ConfigurationError(
            f"`{algorithm.name}` reads the sampler's own log-probs, and a correction needs an "
            "algorithm that does not: it would be made for the sampler twice. Set "
            "correction.kind=none, or choose another algorithm."
        )
    if algorithm.rows == "stored":
        raise ConfigurationError(
            f"`{algorithm.name}` learns from stored rows, and a correction needs the log-probs "
            "that they were sampled with, which nobody recorded. Set correction.kind=none."
        )
    if algorithm.unit == "group":
        raise ConfigurationError(
            f"`{algorithm.name}` has one loss for a whole group, and a correction needs one per "
            "token or response: in a comparison of several responses no weight of one of them "
            "makes up for who sampled the others. Set correction.kind=none, or choose another "
            "algorithm."
        )
    if "per_response" in algorithm.traits and level == "token":
        raise ConfigurationError(
            f"`{algorithm.name}` has one loss per response, and its correction needs to be one, "
            "too: a weight per token has nothing to multiply there. Set correction.level to "
            "response or geometric, or correction.kind=none."
        )
