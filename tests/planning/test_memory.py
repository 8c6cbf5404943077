"""Bytes by formula against the bytes of the local engine: what stays exactly, the rest closely."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from jumar.engines.local.models import new_critic
from jumar.engines.local.trained import Trained
from jumar.planning import memory
from jumar.planning.job import Job, Line
from jumar.planning.storage import checkpoint
from jumar.reproduce.memory import LiveBytes

from .jobs import job, one_step, small_model


def by_name(lines: list[Line] | tuple[Line, ...]) -> dict[str, float]:
    return {line.name: line.value for line in lines}


def stored(file: Path) -> int:
    """Bytes of the tensors in a safetensors file, without its header."""
    with file.open("rb") as text:
        return file.stat().st_size - 8 - int.from_bytes(text.read(8), "little")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("algorithm", ["dapo", "ppo"])
def test_weights_gradients_moments_and_checkpoints_to_the_byte(
    dtype: str, algorithm: str, tmp_path: Path
) -> None:
    model = small_model(tmp_path, dtype=dtype, num_hidden_layers=2)
    of = job(tmp_path, algorithm=algorithm, loading={"dtype": dtype})
    critic = new_critic(model) if of.critic else None
    trained = Trained(model, critic, of.config.optimiser)
    models = [part for part in (model, critic) if part is not None]
    weights = [weight for part in models for weight in part.parameters()]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    for optimiser in trained.optimisers.values():
        optimiser.step()
    states = [s for o in trained.optimisers.values() for s in o.state.values()]
    held = {
        "weights": sum(weight.nbytes for weight in weights),
        "gradients": sum(weight.grad.nbytes for weight in weights),
        "AdamW": sum(t.nbytes for s in states for name, t in s.items() if name != "step"),
    }
    planned = by_name(memory.states(of))
    whole = planned.pop("critic", 0.0)
    if critic is None:
        assert planned == held
    assert sum(planned.values()) + whole == sum(held.values())

    class Silent:
        def save_pretrained(self, directory: Path) -> None: ...

    (tmp_path / "checkpoint").mkdir()
    trained.writer(Silent())(tmp_path / "checkpoint")
    files = list((tmp_path / "checkpoint").rglob("*.safetensors"))
    steps = 4 * len(weights)  # a number for each tensor: how often it was updated
    assert sum(map(stored, files)) - steps == checkpoint(of)


UPDATES: list[tuple[str, bool, dict[str, Any], dict[str, int]]] = [
    ("float32", False, {}, {}),
    ("bfloat16", False, {}, {}),
    ("float32", True, {}, {}),
    ("bfloat16", True, {}, {}),
    ("bfloat16", False, {"vocab_size": 100, "intermediate_size": 1024}, {}),
    ("bfloat16", True, {"vocab_size": 100, "intermediate_size": 1024}, {}),
    ("float32", True, {"vocab_size": 100, "hidden_size": 256, "num_key_value_heads": 4}, {}),
    ("bfloat16", True, {"num_hidden_layers": 8}, {"max_prompt_tokens": 64}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "checkpointing", "numbers", "rollout"), UPDATES)
def test_the_peak_of_an_update_is_as_planned(
    dtype: str,
    checkpointing: bool,
    numbers: dict[str, Any],
    rollout: dict[str, int],
    tmp_path: Path,
) -> None:
    """Counted tensor by tensor, on two micro-batches, so that gradients of the first are there."""
    of, model = _of(tmp_path, dtype, checkpointing, numbers, rollout)
    with LiveBytes() as live:
        one_step(of, model, tmp_path)
    lines = by_name(memory.training(of))
    planned = lines["gradients"] + lines["activations"] + lines["working memory"]
    assert live.peak == pytest.approx(planned, rel=0.08)


def _of(
    folder: Path, dtype: str, checkpointing: bool, numbers: dict[str, Any], rollout: dict[str, int]
) -> tuple[Job, Any]:
    model = small_model(folder, dtype=dtype, checkpointing=checkpointing, **numbers)
    model.config._attn_implementation = "sdpa"  # as the engine loads it
    given = {
        "prompts": 1, "responses": 8, "max_prompt_tokens": 16, "max_response_tokens": 496, **rollout
    }  # fmt: skip
    longest = given["max_prompt_tokens"] + given["max_response_tokens"]
    of = job(
        folder,
        loading={"dtype": dtype, "gradient_checkpointing": checkpointing},
        rollout=given,
        optimiser={"micro_batch_tokens": 4 * longest},
    )
    assert memory.micro_batch(of) == 4 * longest
    return of, model


# ------------------------------------------------------------------ by hand


SEVEN = {"loading": {"dtype": "bfloat16", "gradient_checkpointing": True}}


DEALT, WHOLE = {"sharding": "full"}, {"sharding": "none"}
SERVER = {"server": "http://127.0.0.1:8000"}


def seven(distributed: Any = DEALT, plan: Any = {}, **recipe: Any) -> Job:  # noqa: B006
    return job(
        "Qwen2.5-7B", algorithm="grpo", plan={"ranks": 8, **plan}, distributed=distributed,
        **SEVEN, **recipe,
    )  # fmt: skip


def test_full_sharding_divides_what_stays_and_ddp_does_not() -> None:
    """7,615,616,512 parameters: 2 + 2 bytes, 12 of AdamW, and 2 of the reference."""
    n = 7_615_616_512
    whole = by_name(memory.states(seven(WHOLE)))
    assert whole == {
        "weights": 2 * n, "gradients": 2 * n, "AdamW": 12 * n, "reference, teachers": 2 * n,
    }  # fmt: skip
    dealt = by_name(memory.states(seven()))
    assert dealt == {name: value / 8 for name, value in whole.items()}
    assert "FSDP's buffers" in by_name(memory.training(seven()))
    assert "FSDP's buffers" not in by_name(memory.training(seven(WHOLE)))
    alone = job("Qwen2.5-7B", algorithm="grpo", plan={"ranks": 1}, **SEVEN)
    assert by_name(memory.states(alone)) == whole


def test_lora_trains_the_adapter_alone_and_needs_no_copy_of_its_base() -> None:
    lines = by_name(memory.states(seven(WHOLE, lora={"rank": 16})))
    adapter = 40_370_176  # 28 layers x 16 x 90,112 inputs and outputs
    assert lines["gradients"] == 2 * adapter
    assert lines["AdamW"] == 12 * adapter
    assert lines["weights"] == 2 * (7_615_616_512 + adapter)
    assert "reference, teachers" not in lines
    other = job(
        "Qwen2.5-7B", algorithm="grpo", reference="./elsewhere",
        plan={"ranks": 8}, lora={"rank": 16}, **SEVEN,
    )  # fmt: skip
    assert "reference, teachers" in by_name(memory.states(other))


def test_who_samples_decides_what_fills_the_gpu() -> None:
    n = 7_615_616_512
    trainer = by_name(memory.sampling(seven(), 1024).lines)
    assert trainer["gathered weights"] == 2 * n
    vllm = memory.sampling(seven(engine="vllm", plan={"tensor_parallel": 2}), 1024)
    assert by_name(vllm.lines)["vLLM's weights"] == n
    assert vllm.concurrent == 256  # on each of 4 replicas
    apart = by_name(memory.sampling(seven(engine="vllm", vllm=SERVER), 1024).lines)
    assert apart.keys() == {"vLLM's weights", "KV cache"}
    # 128 responses on each of 8 GPUs, prompt and response of 512 tokens each, on average
    assert apart["KV cache"] == 128 * 1024 * 57_344


def test_where_nothing_is_left_for_a_response_it_says_none() -> None:
    assert memory.sampling(seven(WHOLE), 1024).concurrent == 0


def test_a_config_without_a_known_shape_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ValueError, match="of type gpt2"):
        job(tmp_path)
