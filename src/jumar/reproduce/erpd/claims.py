"""What is measured and how each claim is judged: fixed before the runs."""

from collections.abc import Sequence
from itertools import product

from jumar.engines.contract import Estimate
from jumar.reproduce.erpd.arms import LONGER, TEACHERS, TRAINED
from jumar.reproduce.study import Claim, Metric, Record, Records, Verdict
from jumar.reproduce.verdicts import all_above, all_below, points


def student(record: Record) -> float:
    """Test pass@1 of the policy at the end."""
    return float(record["scores"]["last"][TRAINED]["pass@1"][0])


def longer(record: Record) -> float:
    """pass@1 of the policy at the end on sums that were not trained on."""
    return float(record["scores"]["last"][LONGER]["pass@1"][0])


def teacher(record: Record) -> float:
    """Test pass@1 of the first batch's teacher."""
    return float(record["scores"]["teacher"][TRAINED]["pass@1"][0])


def kl(which: str) -> Metric:
    """KL(model || base) in nats per token of the model's own responses."""
    return lambda record: float(record["scores"][which]["kl"][0])


def of_teacher(record: Record) -> float:
    """How far the student is above its teacher."""
    return student(record) - teacher(record)


def spared(record: Record) -> float:
    """How much less KL the student has than its teacher, in nats per token."""
    return kl("teacher")(record) - kl("last")(record)


def seconds(record: Record) -> float:
    """Sampling, fits and steps; evaluations are not counted."""
    return float(record["time"]["stages"] + record["steps"] * record["time"]["step"])


def base(records: Records) -> float:
    """Test pass@1 of the untrained model."""
    return float(records.by_arm["base"][0]["scores"]["base"][TRAINED]["pass@1"][0])


def _title(name: str) -> str:
    return TEACHERS[name][0]


def _over_base(records: Records, arm: str, metric: Metric) -> Estimate:
    mean, start = records.mean(arm, metric), base(records)
    return Estimate(mean.value - start, mean.low - start, mean.high - start)


def _efficient(records: Records) -> Verdict:
    apart = {
        f"{_title(a)} - {_title(b)}": records.difference(a, b, teacher)
        for a, b in product(("sapo", "ce"), ("ppo", "grpo"))
    }
    return all_above(apart, 0.0, points(apart))


def _per_teacher(records: Records, names: Sequence[str], metric: Metric) -> dict[str, Estimate]:
    return {_title(name): records.mean(name, metric) for name in names}


def _less_kl(records: Records) -> Verdict:
    apart = _per_teacher(records, ("grpo", "sapo", "ce"), spared)
    return all_above(apart, 0.0, points(apart, unit=1, digits=4))


def _keeps(records: Records) -> Verdict:
    apart = _per_teacher(records, ("grpo", "sapo", "ce"), of_teacher)
    return all_above(apart, -0.02, points(apart))


def _surpasses(records: Records) -> Verdict:
    apart = _per_teacher(records, ("sapo", "ce"), of_teacher)
    return all_above(apart, 0.0, points(apart))


def _collapses(records: Records) -> Verdict:
    apart = {"MSE teacher - base": _over_base(records, "mse", teacher)}
    return all_below(apart, 0.0, points(apart))


def _weak_to_strong(records: Records) -> Verdict:
    apart = {"MSE student - base": _over_base(records, "mse", student)}
    return all_above(apart, 0.0, points(apart))


def _ensemble(records: Records) -> Verdict:
    apart = {
        f"both - {_title(o)}": records.difference("ensemble", o, student) for o in ("ce", "mse")
    }
    return all_above(apart, 0.0, points(apart))


def _kl_weight(records: Records) -> Verdict:
    apart = {"KL 0.2 - none": records.difference("steps_32_kl_0.2", "steps_32", kl("last"))}
    return all_below(apart, 0.0, points(apart, unit=1, digits=4))


def _more_steps(records: Records) -> Verdict:
    apart = {"32 - 16 steps": records.difference("steps_32", "sapo", student)}
    return all_above(apart, 0.0, points(apart))


def _below(records: Records) -> Verdict:
    apart = {
        "below - all": records.difference("below", "mse", student),
        "below - above": records.difference("below", "above", student),
    }
    return all_above(apart, 0.0, points(apart))


def _recovery(records: Records) -> Verdict:
    pairs = {
        "mild": ("ce_recovery", "sft_recovery"),
        "severe": ("ce_recovery_severe", "sft_recovery_severe"),
    }
    gaps = {name: records.difference(*pair, student) for name, pair in pairs.items()}
    shown = {f"CE - SFT, {name}": gap for name, gap in gaps.items()}
    closing = Estimate(
        gaps["mild"].value - gaps["severe"].value,
        gaps["mild"].low - gaps["severe"].high,
        gaps["mild"].high - gaps["severe"].low,
    )
    return all_above({"": closing}, 0.0, points(shown))


def _iterated(records: Records) -> Verdict:
    apart = {"3 batches - 1": records.difference("batches", "sapo", student)}
    return all_above(apart, 0.0, points(apart))


def _control(records: Records) -> Verdict:
    apart = {
        f"with - without students, {name}": records.difference("batches", arm, student)
        for name, arm in (("full", "batches_control"), ("short", "batches_control_short"))
    }
    return all_above(apart, 0.0, points(apart))


def _entropy(records: Records) -> Verdict:
    apart = {"entropy - none": records.difference("batches_entropy", "batches", student)}
    return all_above(apart, -0.02, points(apart))


def _wall_time(records: Records) -> Verdict:
    apart = {"ERPD - on-policy": records.difference("batches", "online", student)}
    time = ", ".join(
        f"{name} {records.mean(arm, seconds).value:.0f} s"
        for name, arm in (("ERPD", "batches"), ("on-policy", "online"))
    )
    return all_above(apart, 0.0, f"{points(apart)}; {time}")


CLAIMS = [
    Claim(
        says="From one batch, SAPO and CE make better teachers than PPO and GRPO.",
        numbers="Qwen3-4B, average: CE 72.9, SAPO 69.9, GRPO 69.0, PPO 68.1",
        test="test pass@1 of the teachers, paired by seed: SAPO and CE above PPO and GRPO.",
        judge=_efficient,
    ),
    Claim(
        says="A student has less KL than its teacher.",
        numbers="0.46 to 0.75 of it at equal accuracy; counter-examples 1.13 and 1.44",
        test="KL per token of teacher minus student: above 0 for GRPO, SAPO and CE.",
        judge=_less_kl,
    ),
    Claim(
        says="And keeps its accuracy.",
        numbers="GRPO 69.0 to 69.2, SAPO 69.9 to 70.6, CE 72.9 to 73.3",
        test="test pass@1 of student minus teacher: above -2 points for GRPO, SAPO and CE.",
        judge=_keeps,
    ),
    Claim(
        says="With SAPO and CE it even surpasses the teacher.",
        numbers="+0.7 and +0.4; on NBG4-3B +1.3 and +1.0",
        test="test pass@1 of student minus teacher: above 0 for both.",
        judge=_surpasses,
    ),
    Claim(
        says="A teacher fitted by token MSE is worse than the base.",
        numbers="36.4 against 68.5",
        test="test pass@1 of the MSE teacher minus the base's: below 0.",
        judge=_collapses,
    ),
    Claim(
        says="And yet its student is better than the base: weak to strong.",
        numbers="71.1 against 68.5",
        test="test pass@1 of the MSE student minus the base's: above 0.",
        judge=_weak_to_strong,
    ),
    Claim(
        says="A strong and a weak signal in turn do better than either alone.",
        numbers="HMMT Feb 25: 69.0 against 67.1 and 62.7",
        test="test pass@1 of the ensemble, paired by seed: above CE's and MSE's students.",
        judge=_ensemble,
    ),
    Claim(
        says="A KL weight in distillation saves KL.",
        numbers="0.014 against 0.026 at 32 steps",
        test="KL per token with weight 0.2 minus without: below 0.",
        judge=_kl_weight,
    ),
    Claim(
        says="Sixteen steps do not fit the teacher fully, 32 do better.",
        numbers="68.3 against 73.3 (SAPO on NBG4-3B)",
        test="test pass@1 of 32 minus 16 steps: above 0.",
        judge=_more_steps,
    ),
    Claim(
        says="For right responses the tokens that the signal lowers are the ones that matter.",
        numbers="masks on MSE: below 0 alone 62.7 and 68.6, unmasked 60.1",
        test="test pass@1 with positives below 0 minus all, and minus above 0: above 0.",
        judge=_below,
    ),
    Claim(
        says="SFT recovers a policy as well as CE only after severe unlearning.",
        numbers="HMMT Feb 25: SFT 57.6, 53.5, 63.5 against CE 62.5, 64.1, 62.6",
        test="the gap CE minus SFT is larger after mild than after severe unlearning.",
        judge=_recovery,
    ),
    Claim(
        says="Iterated batches go on improving.",
        numbers="71.1, 73.6, 76.4",
        test="test pass@1 after three batches minus after one: above 0.",
        judge=_iterated,
    ),
    Claim(
        says="Without distillation they do not.",
        numbers="73.8 to 74.0 and 70.6 to 68.4, two batches each",
        test="test pass@1 of three batches with students minus both controls without: above 0.",
        judge=_control,
    ),
    Claim(
        says="An entropy bonus keeps entropy and costs no accuracy.",
        numbers="AIME 2025 85.6 against 84.5, entropy 0.25 against 0.14",
        test="test pass@1 with the bonus minus without: above -2 points.",
        judge=_entropy,
    ),
    Claim(
        says="In the same time it gets further than on-policy GRPO.",
        numbers="73.3 after 20 h against 66.8 after 31 h",
        test="test pass@1 of three batches minus 40 on-policy steps: above 0; times beside it.",
        judge=_wall_time,
    ),
]
