"""Whether an algorithm gets what it reads: asked before step 0, refused with a sentence."""

from collections.abc import Collection, Mapping

from jumar.algorithm import Algorithm
from jumar.errors import ConfigurationError
from jumar.types import COLUMNS

PROVIDED_HERE = frozenset(
    {
        "old_logprobs", "rollout_logprobs", "ref_logprobs", "teacher_logprobs", "old_entropies",
        "values", "old_values", "answer_ids", "reward_parts", "cut_values", "position_spread",
    }
)  # fmt: skip
OF_SAMPLES = frozenset({"rollout_logprobs", "answer_ids", "reward_parts", "cut_values"})


Teacher = str | Mapping[str, str] | None  # a model, or several by the names that prompts give


def teachers(given: Teacher) -> dict[str, str]:
    """Models by name, in one order; a single one has no name."""
    if given is None:
        return {}
    return {"": given} if isinstance(given, str) else dict(sorted(given.items()))


def needs(algorithm: Algorithm, target: str) -> bool:
    """Whether it reads the "reference" or the "teacher"."""
    column = {"reference": "ref_logprobs", "teacher": "teacher_logprobs"}[target]
    asked = {divergence.target for divergence in algorithm.divergences}
    return column in algorithm.reads or target in asked


def check_provided(
    algorithm: Algorithm,
    *,
    reference: str | None,
    teacher: Teacher,
    source: str,
    made: Collection[str] = (),
) -> None:
    """Refuse what would fail in step 0; `made` are columns that the program makes."""
    if algorithm.rows == "stored" and source == "policy":
        raise ConfigurationError(
            f"`{algorithm.name}` learns from stored responses or pairs, but rollout.source is "
            "policy, so it would be taught its own samples. Set rollout.source=dataset and name a "
            "task whose rows have `response`, or `chosen` and `rejected`."
        )
    for target, given in (("reference", reference), ("teacher", teacher)):
        if given is None and needs(algorithm, target):
            raise ConfigurationError(
                f"`{algorithm.name}` reads the {target}, but the local engine was started without "
                f"one. Its loss compares the policy with it. Set {target}: to a model directory, a "
                f"run{' or initial' if target == 'reference' else ''}, or choose an algorithm that "
                "reads none."
            )
    exact = {d.column for d in algorithm.divergences if d.target == "teacher"}
    if exact and len(teachers(teacher)) > 1:
        raise ConfigurationError(
            f"`{algorithm.name}` asks for {', '.join(sorted(exact))} over the whole vocabulary, "
            "but there are several teachers, and the engine routes log-probs of sampled tokens. "
            "Name one teacher, or choose mopd or opd_sampled."
        )
    # of stored rows nobody recorded the log-probs, and no verifier reads them
    here = PROVIDED_HERE - OF_SAMPLES if source == "dataset" else PROVIDED_HERE
    missing = algorithm.reads - here - frozenset(made)
    if missing:
        names = ", ".join(f"`{name}` ({COLUMNS[name].meaning})" for name in sorted(missing))
        raise ConfigurationError(
            f"`{algorithm.name}` reads {names}, which this program and {source} rows do not give. "
            "Without it the loss has nothing to compare with. Run the program that makes it "
            "(`jumar list programs`), or choose an algorithm that does not read it."
        )
