"""Operations against torch's own count of what the engine does; seconds by hand."""

from pathlib import Path
from typing import Any

import pytest
from torch.utils.flop_counter import FlopCounterMode

from jumar.planning import timing
from jumar.planning.job import Job
from jumar.planning.network import traffic

from .jobs import job, one_step, small_model

N = 7_615_616_512  # parameters of Qwen2.5-7B
MATRICES = 28 * (2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944)
HEAD = 3584 * 152064


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["dapo", "ppo"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_operations_of_an_update_are_those_that_torch_counts(
    checkpointing: bool, algorithm: str, tmp_path: Path
) -> None:
    """torch counts attention as if it looked forward, too, which is twice what ours has for it."""
    model = small_model(tmp_path, dtype="float32", checkpointing=checkpointing, vocab_size=300)
    limits = {"max_prompt_tokens": 16, "max_response_tokens": 48}
    of = job(
        tmp_path, algorithm=algorithm,
        loading={"gradient_checkpointing": checkpointing},
        rollout={"prompts": 1, "responses": 4, **limits},
        plan={"ranks": 1, "prompt_tokens": 16.0, "response_tokens": 48.0},
    )  # fmt: skip
    with FlopCounterMode(display=False) as counter:
        one_step(of, model, tmp_path)
    shape, tokens = of.shape, 4 * 64

    def operations(length: float) -> float:
        once, head = shape.body_flops(tokens, length), shape.head_flops(4 * 48)
        body = 3 * once + (shape.recomputed_flops(tokens, length) if checkpointing else 0)
        return 4 * head + (2 * body if of.critic else body)

    score = 6 * shape.hidden * 4 * 48 if of.critic else 0  # the critic's one output
    counted = counter.get_total_flops()
    assert counted - score == pytest.approx(operations(2 * of.length), rel=1e-12)
    assert timing.update_flops(of, 4) == operations(of.length)


DEALT = {"distributed": {"sharding": "full"}}


def seven(recipe: Any = {}, **plan: Any) -> Job:  # noqa: B006
    given = {"prompt_tokens": 500.0, "response_tokens": 1000.0, "ranks": 8, **plan}
    return job(
        "Qwen2.5-7B", algorithm="grpo", plan=given, **{**DEALT, **recipe},
        loading={"dtype": "bfloat16", "gradient_checkpointing": True},
        rollout={"prompts": 128, "responses": 8, "max_response_tokens": 2000},
    )  # fmt: skip


def test_a_decoding_step_reads_weights_and_cache_by_hand() -> None:
    """H100: 3.35 TB/s of which 60 % are reached; a response has 500 + 1000 / 2 tokens behind it."""
    of = seven()
    assert timing.decode_step(of, 1, 1) == pytest.approx((2 * N + 1000 * 57_344) / (0.6 * 3.35e12))
    both = (2 * N + 64 * 1000 * 57_344) / (2 * 0.6 * 3.35e12)
    assert timing.decode_step(of, 64, 2) == pytest.approx(both)
    # with so many at once it computes longer than it reads
    flops = 4000 * (2 * MATRICES + 2 * HEAD + 28 * 4 * 1000 * 3584)
    assert timing.decode_step(seven(bandwidth_share=1.0, mfu=0.1), 4000, 1) == pytest.approx(
        flops / (0.1 * 989e12)
    )


def test_a_step_by_hand() -> None:
    """1024 responses of 1500 tokens on 8 GPUs at 35 % of 989 TFLOP/s."""
    lines = {line.name: line.value for line in timing.step(seven())}
    speed = 8 * 0.35 * 989e12
    body = 1024 * 1500 * (2 * MATRICES + 28 * 2 * 1500 * 3584)
    head = 1024 * 1000 * 2 * HEAD
    again = body - 1024 * 1500 * 28 * 2 * 3584 * 18944
    assert lines["update"] == pytest.approx((3 * body + again + 4 * head) / speed)
    assert lines["forward passes"] == pytest.approx((body + head) / speed)  # the reference
    prompts = 128 * 500 * (2 * MATRICES + 28 * 2 * 500 * 3584)
    assert lines["prompts"] == pytest.approx(prompts / speed)
    assert lines["everything else"] == 30
    assert set(lines) == {
        "prompts", "sampling", "forward passes", "update", "FSDP between ranks",
        "weights to the sampler", "everything else",
    }  # fmt: skip


def test_sampling_is_no_faster_than_the_longest_response_alone() -> None:
    few = timing.generation(seven(), 8)[1].value
    assert few == pytest.approx(2000 * timing.decode_step(seven(), 1, 1))
    assert timing.generation(seven(), 8000)[1].value > few


def test_own_measurements_take_the_place_of_the_formulas() -> None:
    measured = seven(rollout_tokens_per_second=2000.0, update_tokens_per_second=5000.0)
    lines = {line.name: line.value for line in timing.step(measured)}
    assert lines["sampling"] == pytest.approx(1024 * 1000 / (8 * 2000))
    assert lines["update"] == pytest.approx(1024 * 1500 / (8 * 5000))
    assert "prompts" not in lines


WHOLE = {"distributed": {"sharding": "none"}}
SERVER = {"engine": "vllm", "vllm": {"server": "http://127.0.0.1:8000"}}


def sent(recipe: Any = {}, **plan: Any) -> dict[str, tuple[float, float]]:  # noqa: B006
    return {
        link.line.name: (link.line.value, link.speed) for link in traffic(seven(recipe, **plan))
    }


def test_what_goes_between_gpus_by_hand() -> None:
    link, network = 0.7 * 450e9, 0.7 * 50e9
    assert sent(WHOLE) == {"gradients between ranks": (2 * 7 / 8 * 2 * N, link)}
    # 192,000 tokens of a rank in 12 micro-batches of 16,384: weights forward, backward and for the
    # reference; gradients in float32
    full = sent({"engine": "vllm"})
    assert full["FSDP between ranks"] == (7 / 8 * (36 * 2 * N + 12 * 4 * N), link)
    assert full["weights to the sampler"] == (2 * N * 7 / 8, link)
    assert sent(SERVER)["weights to vLLM"] == (2 * N, network)
    adapter = 40_370_176
    assert sent({**SERVER, **WHOLE, "lora": {"rank": 16}})["weights to vLLM"] == (
        2 * adapter,
        network,
    )
    assert sent(WHOLE, ranks=16)["gradients between ranks"][1] == network
    assert sent(ranks=1) == {}


def test_lora_goes_backward_at_half_the_cost() -> None:
    full = timing.update_flops(seven(), 10)
    adapter = timing.update_flops(seven({**WHOLE, "lora": {"rank": 8}}), 10)
    once = timing.pass_flops(seven(), 10)
    assert full - adapter == pytest.approx(once)
