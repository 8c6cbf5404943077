"""Whole runs: two of one seed, one that is killed, one on GSM8K's real file."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from jumar import Run, algorithms
from jumar.engines.contract import Estimate, Trainer
from jumar.errors import ConfigurationError, JumarError
from jumar.evaluating import evaluate_model
from jumar.pieces import piece
from jumar.tasks import Example, Task
from jumar.verifiers import VerifierSpec

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("JUMAR_DATA", ROOT.parent / "shared" / "data"))
CHARACTERS = [chr(i) for i in range(32, 127)] + ["\n"]
CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face directory with a chat template, and one token for pad and EOS."""
    directory = tmp_path_factory.mktemp("model")
    raw = Tokenizer(WordLevel({c: i for i, c in enumerate(["<end>", *CHARACTERS])}, unk_token="?"))
    raw.pre_tokenizer, raw.decoder = Split("", "isolated"), Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<end>", eos_token="<end>", chat_template=CHAT
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=2048, pad_token_id=0, eos_token_id=0,
        bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


class Silent:
    def on_phase(self, text: str) -> None: ...
    def on_step(self, step: int, total: int | None, metrics: dict[str, float]) -> None: ...
    def on_validation(self, step: int, estimates: dict[str, Estimate]) -> None: ...


SMALL = {
    "program": {"name": "plain", "steps": 3},
    "rollout": {
        "prompts": 2, "responses": 4, "max_response_tokens": 8, "max_prompt_tokens": 900,
    },
    "optimiser": {"learning_rate": 1e-3},
    "evaluation": {"every": 2, "prompts": 2, "final_prompts": 4, "final_samples": 2},
    "checkpoints": {"every": 2},
    "scoring": {"workers": 1},
    "loading": {"threads": 1},
}  # fmt: skip


def letters() -> Task:
    rows = [Example(prompt=f"say {i}", answer=str(i)) for i in range(30)]
    spec = VerifierSpec("function", {"target": f"{__file__}:mostly_letters"})
    return Task(
        name="letters", train=rows[:20], validation=rows[20:25], test=rows[25:], verifier=spec
    )


def mostly_letters(response: str, example: dict) -> bool:
    return sum(c.isalpha() for c in response) > len(response) / 2


def read(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def lines(directory: Path) -> list[dict]:
    rows = read(directory / "metrics.jsonl")
    return [
        {k: v for k, v in r.items() if "time/" not in k and "per_second" not in k} for r in rows
    ]


def weights(directory: Path) -> str:
    return hashlib.sha256((directory / "final" / "model.safetensors").read_bytes()).hexdigest()


def test_a_run_directory_has_all_that_is_promised(model, tmp_path):
    run = Run(model=str(model), task=letters(), algorithm="grpo", out=tmp_path / "run", **SMALL)
    summary = run.train(observer=Silent())
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {
        "config.yaml", "metrics.jsonl", "checkpoints", "stages", "rollouts", "evaluation",
        "final", "summary.json", "curves.png", "report.html",
    }  # fmt: skip
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary
    assert set(summary["change"]) == {"sampled", "greedy"}


def test_an_algorithm_made_in_python_trains_and_is_written_down(model, tmp_path):
    run = Run(
        model=str(model), task=letters(), algorithm=algorithms.dr_grpo(length=8),
        out=tmp_path / "run", **SMALL,
    )  # fmt: skip
    run.train(observer=Silent())
    assert "fixed_length_mean(length=8)" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_reference_reader_without_reference_is_refused_before_anything_is_written(tmp_path):
    out = tmp_path / "run"
    run = Run(model="none", task=letters(), algorithm="owpo", reference=None, out=out, **SMALL)
    with pytest.raises(ConfigurationError, match="reads the reference"):
        run.train(observer=Silent())
    assert not (tmp_path / "run").exists()


def test_a_run_of_fits_alone_ends_with_its_summary(model, tmp_path):
    """Nothing is evaluated on the way, so there is no line of metrics and no curve."""
    program = {
        "name": "erpd", "batches": 1, "prompts": 4, "responses": 4, "prompts_per_step": 2,
        "teacher_steps": 2, "student_steps": 2,
    }  # fmt: skip
    changes = {"program": program, "evaluation": {**SMALL["evaluation"], "every": 0}}
    run = Run(
        model=str(model), task=letters(), algorithm="implicit_ce", out=tmp_path / "run",
        **{**SMALL, **changes},
    )  # fmt: skip
    assert run.train(observer=Silent())["steps"] == 2
    assert (tmp_path / "run" / "summary.json").is_file()
    assert not (tmp_path / "run" / "curves.png").exists()


def test_a_finished_run_is_the_reference_of_another(model, tmp_path):
    first = Run(model=str(model), task=letters(), algorithm="grpo", out=tmp_path / "a", **SMALL)
    first.train(observer=Silent())
    second = Run(
        model=str(model), task=letters(), algorithm="owpo", reference=str(tmp_path / "a"),
        out=tmp_path / "b", **SMALL,
    )  # fmt: skip
    second.train(observer=Silent())
    first_kl = next(row["kl"] for row in lines(tmp_path / "b") if "kl" in row)
    assert first_kl > 1e-6  # the policy starts at the model, not at the run


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reference": "./none"}, "does not exist"),
        ({"algorithm": "opd", "teacher": "./none"}, "does not exist"),
        ({"task": {"train": ()}}, "no training prompt"),
        ({"task": {"validation": ()}}, "empty validation split"),
        ({"task": {"validation": [Example(prompt="long " * 200)]}}, "tokens long"),
        ({"task": {"verifier": VerifierSpec("none")}}, "has no verifier"),
        ({"task": {"verifier": VerifierSpec("function", {"target": "no:one"})}}, "importable"),
        ({"rollout": {**SMALL["rollout"], "source": "dataset"}}, "has no response"),
        ({"rollout": {**SMALL["rollout"], "max_response_tokens": 2045}}, "reads 2048 tokens"),
        ({"loading": {"device": "nowhere"}}, "`loading.device` is nowhere"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(model, tmp_path, changes, reason):
    task = replace(letters(), **changes.pop("task", {}))
    fields = {"algorithm": "grpo", **SMALL, **changes}
    run = Run(model=str(model), task=task, out=tmp_path / "run", **fields)
    with pytest.raises(JumarError, match=reason):
        run.train(observer=Silent())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_directory_that_cannot_be_looked_at_is_refused(model, tmp_path, resume):
    out = tmp_path / ("x" * 300)
    run = Run(model=str(model), task=letters(), algorithm="grpo", out=out, **SMALL)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        run.train(observer=Silent(), resume=resume)


@pytest.mark.parametrize("algorithm", ["sft", "dpo"])
def test_stored_rows_train_without_a_verifier(algorithm, model, tmp_path):
    rows = [Example(prompt=f"say {i}", response="a", chosen="a", rejected="b") for i in range(9)]
    task = replace(letters(), train=rows, test=(), validation=(), verifier=VerifierSpec("none"))
    fields = {**SMALL, "rollout": {**SMALL["rollout"], "source": "dataset"}}
    run = Run(model=str(model), task=task, algorithm=algorithm, out=tmp_path / "run", **fields)
    assert run.train(observer=Silent())["steps"] == 3


def test_a_verifier_that_crashes_is_reported_with_its_reason(model, tmp_path):
    class Phases(Silent):
        def __init__(self) -> None:
            self.said: list[str] = []

        def on_phase(self, text: str) -> None:
            self.said.append(text)

    phases = Phases()
    task = replace(letters(), verifier=VerifierSpec("function", {"target": f"{__file__}:breaks"}))
    Run(model=str(model), task=task, algorithm="grpo", out=tmp_path / "run", **SMALL).train(
        observer=phases
    )
    assert any("crashed on 8 of 8" in said and "no such word" in said for said in phases.said)


def breaks(response: str, example: dict) -> float:
    raise ValueError("no such word")


def test_scores_that_ran_out_of_time_are_counted_and_mark_the_run(model, tmp_path):
    (tmp_path / "slow.py").write_text(
        "import time\ndef reward(response, example):\n    time.sleep(99)\n"
    )
    spec = VerifierSpec("function", {"target": f"{tmp_path}/slow.py:reward"})
    few = {
        "program": {"name": "plain", "steps": 1},
        "rollout": {**SMALL["rollout"], "prompts": 1, "responses": 2},
        "scoring": {"workers": 1, "wall_seconds": 0.5},
        "evaluation": {"every": 0, "final_prompts": 0},
    }
    run = Run(
        model=str(model), task=replace(letters(), verifier=spec), algorithm="grpo",
        out=tmp_path / "run", **{**SMALL, **few},
    )  # fmt: skip
    assert run.train(observer=Silent())["backstops"] == 2
    assert lines(tmp_path / "run")[0]["backstops"] == 2


def test_an_evaluation_draws_as_its_settings_say(model):
    narrow = {"evaluation": {**SMALL["evaluation"], "top_p": 0.25}}
    settings = Run(model=str(model), task=letters(), algorithm="grpo", **{**SMALL, **narrow})
    chosen = settings.config.engine_settings()
    found = evaluate_model(str(model), [letters()], samples=2, settings=chosen)
    assert found["letters"]["sampled"].top_p == 0.25


def test_base_and_final_are_of_one_protocol_which_stands_beside_them(model, tmp_path):
    run = Run(model=str(model), task=letters(), algorithm="grpo", out=tmp_path / "run", **SMALL)
    summary = run.train(observer=Silent())
    for kind in ("sampled", "greedy"):
        protocol = summary["base"][kind]["protocol"]
        assert protocol == summary["final"][kind]["protocol"]
        head = read(tmp_path / "run" / "evaluation" / f"final-{kind}.jsonl")[0]
        assert head["protocol"] == protocol
    scored = evaluate_model(
        str(tmp_path / "run"), [replace(letters(), test=letters().test[:4])],
        samples=2, greedy=True, settings=run.config.engine_settings(),
    )["letters"]  # fmt: skip
    for kind in ("sampled", "greedy"):
        assert scored[kind].to_dict() == summary["final"][kind]


def test_a_base_that_was_scored_by_another_protocol_is_scored_again(model, tmp_path):
    def run(**options) -> dict:
        asked = Run(
            model=str(model), task=letters(), algorithm="grpo", out=tmp_path / "run", **SMALL
        )
        return asked.train(observer=Silent(), **options)

    first = run()
    file = tmp_path / "run" / "evaluation" / "base-sampled.jsonl"
    head, *rows = file.read_text().splitlines()
    old = {**json.loads(head), "protocol": {"digest": "0", "parts": {"task": "numbers"}}}
    file.write_text("\n".join([json.dumps(old), *rows]))
    assert run(resume=True)["base"] == first["base"]


RECIPE = """# letters
model: {model}
task: {here}:rows
algorithm: owpo
program: {{name: ratchet, stages: 2, steps: 4}}
rollout: {{prompts: 3, responses: 4, max_response_tokens: 12, max_prompt_tokens: 64}}
optimiser: {{learning_rate: 3e-3}}
evaluation: {{every: 2, prompts: 3, final_prompts: 4, final_samples: 2}}
checkpoints: {{every: 2}}
scoring: {{workers: 1}}
loading: {{threads: 1}}
"""


def rows() -> Task:
    return letters()


def command(recipe: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "jumar", "train", str(recipe), "--out", str(out), *more]


@pytest.mark.slow
def test_a_run_killed_at_any_step_equals_the_one_that_was_not(model, tmp_path):
    recipe = tmp_path / "letters.yaml"
    recipe.write_text(RECIPE.format(model=model, here=__file__))
    subprocess.run(command(recipe, tmp_path / "whole"), check=True, capture_output=True)
    out = tmp_path / "killed"
    kills = 0
    for after in (1, 3, 6, 8):  # lines of metrics, validation's included
        resume = ("--resume",) if (out / "config.yaml").exists() else ()
        process = subprocess.Popen(
            command(recipe, out, *resume), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            metrics = out / "metrics.jsonl"
            if metrics.exists() and len(metrics.read_bytes().splitlines()) >= after:
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.01)
        process.wait()
        process.stderr.close()
    assert kills >= 3
    subprocess.run(command(recipe, out, "--resume"), check=True, capture_output=True)
    assert lines(out) == lines(tmp_path / "whole")
    assert weights(out) == weights(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason=f"GSM8K's files are not at {DATA} (set JUMAR_DATA)")
def test_grpo_steps_on_the_real_gsm8k_file_with_a_local_model(model, tmp_path):
    files = f"gsm8k?test={DATA}/gsm8k/test.jsonl&train={DATA}/gsm8k/train.jsonl"
    settings = [
        item
        for pair in (
            "program.steps=2", "rollout.prompts=2", "rollout.responses=2", "evaluation.every=1",
            "rollout.max_response_tokens=16", "evaluation.prompts=2", "evaluation.final_prompts=2",
            "evaluation.final_samples=1", "rollout.max_prompt_tokens=1200", "loading.threads=1",
        )
        for item in ("--set", pair)
    ]  # fmt: skip
    ran = subprocess.run(
        [
            sys.executable, "-m", "jumar", "train", "gsm8k", "--algorithm", "grpo", "--model",
            str(model), "--task", files, "--out", str(tmp_path / "run"), *settings,
        ],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 2
    asked = read(tmp_path / "run" / "rollouts" / "step-000001.jsonl")
    assert {row["prompt"] for row in asked} <= {
        row["question"] for row in read(DATA / "gsm8k" / "train.jsonl")
    }


def two_batches(trainer: Trainer, *, steps: int) -> None:
    """A program of a user's own: a fit is adopted, then training goes on."""
    batch = trainer.sample(prompts=4, responses=2)
    fitted = trainer.fit(batch, steps=steps, prompts=2)
    trainer.adopt(fitted.last, steps=steps)
    trainer.train(steps=1)


def test_a_program_of_ones_own_runs_and_resumes_as_the_same_one(model, tmp_path):
    def run(steps: int) -> Run:
        return Run(
            model=str(model), task=letters(), algorithm="grpo", out=tmp_path / "run",
            **{**SMALL, "program": piece(two_batches, steps=steps)},
        )  # fmt: skip

    assert run(2).train(observer=Silent())["steps"] == 3
    assert "two_batches(steps=2)" in (tmp_path / "run" / "config.yaml").read_text()
    assert run(2).train(observer=Silent(), resume=True)["steps"] == 3
    with pytest.raises(ConfigurationError, match="another configuration"):
        run(3).train(observer=Silent(), resume=True)
