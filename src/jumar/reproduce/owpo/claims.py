"""What is measured and how each claim is judged: fixed before the runs."""

import math
from collections.abc import Mapping, Sequence

from jumar.engines.contract import Estimate
from jumar.reproduce.owpo.arms import BASELINES, TITLES, TRAINED
from jumar.reproduce.runs import FOUNDATION_SEED
from jumar.reproduce.study import Claim, Metric, Record, Records, Verdict, cell
from jumar.reproduce.verdicts import all_above, all_below, decided, points

TRANSFER = "four terms"


def score(name: str = "pass@1", task: str = TRAINED, at: str = "best") -> Metric:
    """A score of the checkpoint that validated best, or of the last."""
    return lambda record: float(record["scores"][at][task][name][0])


def regression(record: Record) -> float:
    """How much the last policy is below the best."""
    return score(at="best")(record) - score(at="last")(record)


def against_verdict(record: Record) -> float:
    """Share of judged tokens that the loss moves against the verifier, over all steps."""
    shares = record["reversed"]
    return float(sum(shares) / len(shares)) if shares else math.nan


def peak_stage(record: Record) -> float:
    """The first stage whose best validation score is within 2 points of the run's highest: about a
    standard error of 1,600 validation samples of 200 prompts.
    """
    stages: Sequence[float] = record["stages"]
    return 1.0 + next(i for i, best in enumerate(stages) if best >= max(stages) - 0.02)


def tokens(record: Record) -> float:
    """Sampled in training."""
    return float(record["tokens"])


def _over(records: Records, metric: Metric, others: Sequence[str]) -> dict[str, Estimate]:
    return {f"OWPO - {TITLES[o]}": records.difference("owpo", o, metric) for o in others}


def _best(records: Records) -> Verdict:
    apart = _over(records, score(), BASELINES)
    return all_above(apart, 0.0, points(apart))


def _converged(records: Records) -> Verdict:
    apart = _over(records, score(at="last"), BASELINES)
    return all_above(apart, 0.0, points(apart))


def _pass_at_16(records: Records) -> Verdict:
    apart = _over(records, score("pass@16"), BASELINES)
    return all_above(apart, -0.02, points(apart))


def _beyond(records: Records, arm: str) -> Mapping[str, Estimate]:
    """Over seeds, with the error of the reference's own score added in quadrature."""
    scores = records.by_arm["reference"][FOUNDATION_SEED]["scores"]["best"]
    fixed, low, high = scores[TRAINED]["pass@1"]
    mean = records.mean(arm, score())
    down = math.hypot(mean.value - mean.low, high - fixed)
    up = math.hypot(mean.high - mean.value, fixed - low)
    apart = mean.value - fixed
    return {f"{TITLES[arm]} - reference": Estimate(apart, apart - down, apart + up)}


def _guided_stay(records: Records) -> Verdict:
    apart = {**_beyond(records, "opd"), **_beyond(records, "mopd")}
    return all_below(apart, 0.02, points(apart))


def _owpo_beyond(records: Records) -> Verdict:
    apart = _beyond(records, "owpo")
    return all_above(apart, 0.0, points(apart))


def _symmetric_below(records: Records) -> Verdict:
    apart = {"Sym-DAPO - DAPO": records.difference("sym_dapo", "dapo", score())}
    return all_below(apart, 0.0, points(apart))


def _reversal(records: Records) -> Verdict:
    shares = {
        name: records.mean(name, against_verdict).value for name in ("owpo", "sym_dapo", "mopd")
    }
    shown = ", ".join(f"{TITLES[name]} {100 * share:.2f} %" for name, share in shares.items())
    return decided(shares["owpo"] == 0 and min(shares["sym_dapo"], shares["mopd"]) > 0, shown)


def _no_regression(records: Records) -> Verdict:
    apart = _over(records, regression, ("grpo", "dapo"))
    return all_below(apart, 0.0, points(apart))


def _higher(records: Records) -> Verdict:
    apart = {"OWPO - MOPD": records.difference("ratchet_owpo", "ratchet_mopd", score())}
    return all_above(apart, 0.0, points(apart))


def _sooner(records: Records) -> Verdict:
    stages = records.difference("ratchet_owpo", "ratchet_mopd", peak_stage)
    arms = {"OWPO": "ratchet_owpo", "MOPD": "ratchet_mopd"}
    shown = ", ".join(f"{t} {cell(records.mean(a, peak_stage), 1, 1)}" for t, a in arms.items())
    return all_below({"": stages}, 0.0, f"stage of saturation: {shown}")


def _variant(name: str) -> "Claim":
    numbers = {
        "no_asymmetry": "AIME24 and AIME25 fall severely",
        "no_locking": "below the full method",
        "no_acceleration": "below the full method",
    }[name]

    def judge(records: Records) -> Verdict:
        apart = {f"{name} - full": records.difference(name, "owpo_weak", score())}
        return all_below(apart, 0.0, points(apart))

    return Claim(
        says=f"On the weak reference OWPO is worse {name.replace('no_', 'without ')}.",
        numbers=f"Figure 6: {numbers}",
        test="test pass@1 at the best checkpoint, paired by seed: below the full method.",
        judge=judge,
    )


def _transfers(records: Records) -> Verdict:
    apart = _over(records, score(task=TRANSFER), ("dapo", "mopd"))
    return all_above(apart, 0.0, points(apart))


CLAIMS = [
    Claim(
        says="OWPO has the best pass@1 of all methods.",
        numbers="average 43.91 against 41.11 (MOPD) and 40.56 (DAPO); 51.90 against 46.40 on 8B",
        test="test pass@1 at the best validated checkpoint, paired by seed: above each baseline.",
        judge=_best,
    ),
    Claim(
        says="It also ends highest.",
        numbers="44.12 against 42.83 (DAPO; 42.34 in Table 6, where AIME25 is 17.29, not 18.75)",
        test="test pass@1 of the last policy, paired by seed: above each baseline.",
        judge=_converged,
    ),
    Claim(
        says="Its pass@16 is competitive.",
        numbers="57.48 against 60.34 (MOPD) and 59.40 (DAPO): below both; above on 8B",
        test="test pass@16 at the best checkpoint: less than 2 points below each baseline.",
        judge=_pass_at_16,
    ),
    Claim(
        says="Methods that pull towards the reference hardly exceed it.",
        numbers="MOPD +0.55, OPD +0.08 over DAPO's checkpoint",
        test="test pass@1 of OPD and MOPD: less than 2 points above the reference.",
        judge=_guided_stay,
    ),
    Claim(
        says="OWPO exceeds the reference.",
        numbers="+3.35",
        test="test pass@1 of OWPO: above the reference.",
        judge=_owpo_beyond,
    ),
    Claim(
        says="A symmetric KL makes DAPO worse.",
        numbers="39.54 against 40.56",
        test="test pass@1 at the best checkpoint, paired by seed: Sym-DAPO below DAPO.",
        judge=_symmetric_below,
    ),
    Claim(
        says="KL terms turn some updates against the verifier; OWPO never does.",
        numbers="no figure; Proposition 4.2",
        test="share of tokens whose slope has the wrong sign: 0 for OWPO, above 0 for the others.",
        judge=_reversal,
    ),
    Claim(
        says="OWPO does not regress after its best checkpoint as pure RL does.",
        numbers="OWPO 43.91 to 44.12; GRPO 37.08 to 35.75; but DAPO 40.56 to 42.83",
        test="best minus last test pass@1, paired by seed: smaller than GRPO's and DAPO's.",
        judge=_no_regression,
    ),
    Claim(
        says="From a weak reference, iterated OWPO gets higher than iterated MOPD.",
        numbers="about 40 against 37 (AIME24)",
        test="six stages of ten steps, swapped to the best: test pass@1 at the best: above MOPD's.",
        judge=_higher,
    ),
    Claim(
        says="And it saturates in fewer iterations.",
        numbers="4 against 6",
        test="first stage within 2 points of the run's best validation: earlier than MOPD's.",
        judge=_sooner,
    ),
    *(_variant(name) for name in ("no_asymmetry", "no_locking", "no_acceleration")),
    Claim(
        says="What it learned carries over to tasks that were not trained on.",
        numbers="GPQA 41.03 against 39.27 (DAPO) and 38.76 (MOPD)",
        test="pass@1 on sums of four terms at the best checkpoint: above DAPO's and MOPD's.",
        judge=_transfers,
    ),
]
