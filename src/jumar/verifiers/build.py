"""From a `VerifierSpec` to the function that scores; imports only what that kind needs."""

from importlib import import_module

from jumar.errors import ConfigurationError
from jumar.verifiers.score import Scorer, VerifierSpec

KINDS = {
    "gsm8k": "jumar.verifiers.gsm8k",
    "math": "jumar.verifiers.math",
    "exact": "jumar.verifiers.exact",
    "choice": "jumar.verifiers.choice",
    "code": "jumar.verifiers.code",
    "gym": "jumar.verifiers.gym",
    "function": "jumar.verifiers.reward_function",
    "weighted": "jumar.verifiers.weighted",
}


def build(spec: VerifierSpec) -> Scorer:
    """The scorer of `spec`. Each kind's module has one `scorer(**options)`."""
    if spec.kind == "none":
        raise ConfigurationError(
            "This task has no verifier, and scoring needs one: its file has no answer column. "
            "Add answers and name a verifier (?verifier=math), or train on its stored rows only "
            "(rollout.source=dataset)."
        )
    if spec.kind not in KINDS:
        raise ConfigurationError(
            f"A verifier of kind {spec.kind!r} was asked for, and a task needs a known one to be "
            f"scored. Kinds are: {', '.join(KINDS)}."
        )
    options = {key: value for key, value in spec.options.items() if key != "second_opinion"}
    scorer: Scorer = import_module(KINDS[spec.kind]).scorer(**options)
    return scorer
