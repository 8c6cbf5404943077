"""Everything that a recipe needs, put together."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from jumar import programs
from jumar.config import RunConfig
from jumar.planning import memory, network, storage, timing
from jumar.planning.job import Job, Line, count, job_of

Calls = Sequence[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Estimates: bytes on a GPU in an update and while sampling, between GPUs and on disk; seconds
    of a step and of the run.
    """

    job: Job
    training: Sequence[Line]
    sampling: memory.Sampling | None  # None: the rows are stored
    network: Sequence[Line]  # bytes of a step, of one GPU
    step: Sequence[Line]
    run: Sequence[Line]
    disk: Sequence[Line]

    @property
    def room(self) -> float:
        """Bytes of one GPU that may be filled."""
        return self.job.plan.usable_memory * self.job.gpu.memory

    @property
    def fits(self) -> bool:
        """Whether both moments have room."""
        sampling = self.sampling
        return total(self.training) <= self.room and (sampling is None or sampling.concurrent > 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        job, sampling = self.job, self.sampling
        return {
            "estimate": True,
            "model": job.config.model,
            "parameters": job.shape.parameters,
            "trained_parameters": job.trained,
            "gpu": job.gpu.name,
            "source": job.gpu.source,
            "assumptions": job.assumptions,
            "fits": self.fits,
            "room_bytes": self.room,
            "bytes": {
                "update": [asdict(line) for line in self.training],
                "sampling": [asdict(line) for line in sampling.lines] if sampling else [],
                "network": [asdict(line) for line in self.network],
                "disk": [asdict(line) for line in self.disk],
            },
            "responses_at_once": sampling.concurrent if sampling else 0,
            "seconds": {
                "step": [asdict(line) for line in self.step],
                "run": [asdict(line) for line in self.run],
            },
        }


def plan(config: RunConfig) -> Plan:
    """The plan of a recipe."""
    job = job_of(config)
    program = partial(programs.get(config.program.name), **config.program.settings)
    calls = programs.calls(program)
    return Plan(
        job=job,
        training=memory.training(job),
        sampling=memory.sampling(job, job.rows * job.sampled_per_row) if job.samples else None,
        network=[link.line for link in network.traffic(job)],
        step=timing.step(job),
        run=[*_run(job, calls), *_evaluations(job, calls)],
        disk=storage.disk(job, calls),
    )


def total(lines: Sequence[Line]) -> float:
    """The sum of their values."""
    return sum(line.value for line in lines)


def _run(job: Job, calls: Calls) -> list[Line]:
    """The program's verbs, those that are alike as one line."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    batch = job.config.rollout.prompts, job.config.rollout.responses
    for verb, numbers in calls:
        if verb == "sample":
            batch = numbers["prompts"], numbers["responses"]
        line = _verb(job, verb, numbers, *batch)
        if line is not None:
            times, seconds = found.get((line.name, line.formula), (0, 0.0))
            found[line.name, line.formula] = times + 1, seconds + line.value
    return [
        Line(name, seconds, f"{times} x {formula}" if times > 1 else formula)
        for (name, formula), (times, seconds) in found.items()
    ]


def _verb(
    job: Job, verb: str, numbers: Mapping[str, Any], prompts: int, responses: int
) -> Line | None:
    """One verb, on a batch of so many prompts and responses to each."""
    match verb:
        case "train":
            seconds = numbers["steps"] * total(timing.step(job))
            return Line("train", seconds, f"{numbers['steps']} steps")
        case "sample":
            return _sampled("sample", job, prompts * responses)
        case "fit":
            rows = numbers["prompts"] * responses
            seconds = numbers["steps"] * timing.update(job, rows, 1).value
            return Line("fit", seconds, f"{numbers['steps']} updates of {count(rows)} responses")
        case "log_ratio":
            seconds = timing.forward(job, prompts * responses, passes=2).value
            return Line(
                "log_ratio", seconds, f"2 passes over {count(prompts * responses)} responses"
            )
        case "reference_rewards":
            if job.plan.train_prompts is None:
                return Line("reference_rewards", 0.0, "not counted: set plan.train_prompts")
            return _sampled("reference_rewards", job, job.plan.train_prompts * numbers["samples"])
    return None


def _evaluations(job: Job, calls: Calls) -> list[Line]:
    """Validation along the way, and the test split before and after, sampled and greedy."""
    chosen, lines = job.config.evaluation, []
    trained = sum(numbers["steps"] for verb, numbers in calls if verb == "train")
    adopted = sum(verb == "adopt" for verb, _ in calls)
    for name, times, responses in (
        ("validation", trained // chosen.every + adopted if chosen.every else 0,
         chosen.prompts * chosen.samples),
        ("both ends", 2, chosen.final_prompts * (chosen.final_samples + 1)),
    ):  # fmt: skip
        if times and responses:
            each = _sampled(name, job, responses)
            lines.append(Line(name, times * each.value, f"{times} x {each.formula}"))
    return lines


def _sampled(name: str, job: Job, responses: int) -> Line:
    seconds = total(timing.generation(job, responses))
    return Line(name, seconds, f"{count(responses)} responses")
