"""One adapter among several in one base: what it computes, against the base and against peft."""

import copy
import gc
from contextlib import suppress
from pathlib import Path
from typing import Any

import letters
import pytest
import torch
from architectures import BUILDERS, random_model
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from jumar import algorithms
from jumar.engines.local.forward import response_logprobs
from jumar.engines.local.lora import (
    Shared,
    add_adapter,
    keeping_adapter,
    merged_weights,
    policy_writer,
    shared,
)
from jumar.engines.local.models import recompute_activations
from jumar.engines.local.sampler import Sampling
from jumar.engines.local.update import Models, Updater
from jumar.engines.settings import EngineSettings, LoraSettings
from jumar.errors import ConfigurationError
from jumar.reproduce.memory import LiveBytes
from jumar.types import RolloutBatch

peft = pytest.importorskip("peft", reason="the extra jumar[lora] is not installed")

RANK_2 = LoraSettings(rank=2, alpha=4)
PROMPTS = [[3, 4, 5], [6, 7], [8, 9, 10, 11], [12]]


def rows(seed: int = 0) -> tuple[list[list[int]], Tensor, Tensor]:
    """Prompts, and responses of several lengths."""
    ids = torch.randint(3, 24, (4, 6), generator=torch.Generator().manual_seed(seed))
    return PROMPTS, ids, torch.arange(6) < torch.tensor([6, 3, 5, 1])[:, None]


def logprobs(model: Any) -> Tensor:
    with torch.no_grad():
        return response_logprobs(model, *rows(), sampling=Sampling())


def moved(model: Any, adapter: str = "policy", seed: int = 1) -> None:
    """Give an adapter weights that change what the model says."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if f".{adapter}." in name:
                weight += 0.3 * torch.randn(weight.shape, generator=draw, dtype=weight.dtype)


def adapted(name: str = "llama", dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    model = random_model(name, dtype=dtype, spread=2.0)
    add_adapter(model, replaced(**options), base="the base", seed=0)
    return model


def replaced(**options: Any) -> LoraSettings:
    return RANK_2.model_copy(update=options)


# ------------------------------------------------------------------ the base stays the base


@pytest.mark.parametrize("name", BUILDERS)
def test_the_switched_off_adapter_is_the_base_bit_for_bit(name):
    base = random_model(name, spread=2.0)
    model = copy.deepcopy(base)
    add_adapter(model, RANK_2, base="the base", seed=0)
    assert torch.equal(logprobs(model), logprobs(base))  # a new adapter changes nothing
    moved(model)
    reference = shared(model, "the base")
    assert not torch.allclose(logprobs(model), logprobs(base), atol=1e-2)
    assert torch.equal(logprobs(reference), logprobs(base))
    kept = dict(merged_weights(reference))
    assert kept.keys() == base.state_dict().keys()
    assert all(torch.equal(kept[key], weight) for key, weight in base.state_dict().items())


def test_only_the_adapter_is_trained_and_afterwards_the_policy_is_in_use_again():
    model = adapted()
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert trained
    assert all(".lora_A.policy." in name or ".lora_B.policy." in name for name in trained)
    moved(model)
    before = logprobs(model)
    logprobs(shared(model, "the base"))
    assert torch.equal(logprobs(model), before)
    assert [n for n, weight in model.named_parameters() if weight.requires_grad] == trained


def test_the_adapter_begins_with_the_bits_of_its_seed_and_moves_no_random_state():
    state = torch.get_rng_state()
    model = random_model("llama")
    first = random_model("llama")
    after = torch.get_rng_state()
    add_adapter(first, RANK_2, base="the base", seed=3)
    assert torch.equal(torch.get_rng_state(), after)
    torch.set_rng_state(state)
    add_adapter(model, RANK_2, base="the base", seed=3)
    other = random_model("llama")
    add_adapter(other, RANK_2, base="the base", seed=4)
    same = zip(first.state_dict().values(), model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    pairs = zip(first.state_dict().values(), other.state_dict().values(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)


# ------------------------------------------------------------------ against peft


def batch() -> RolloutBatch:
    _, ids, mask = rows()
    return RolloutBatch.build(
        token_ids=ids,
        mask=mask,
        rewards=torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64),
        correct=torch.tensor([True, False, False, True]),
        group_ids=torch.tensor([0, 0, 1, 1]),
        prompt_ids=torch.tensor([0, 0, 1, 1]),
        ref_logprobs=torch.full(mask.shape, -2.0, dtype=torch.float64),
    )


def updater(algorithm: Any, models: Models, tmp_path: Path, tokens: int = 10_000) -> Updater:
    """An update that stops before the optimiser, so that gradients can be looked at."""
    settings = EngineSettings.model_validate(
        {"optimiser": {"micro_batch_tokens": tokens, "max_grad_norm": 1e9}}
    )
    return Updater(
        algorithm=algorithm, models=models, settings=settings, optimisers=[], directory=tmp_path
    )


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # peft asks transformers for it
def test_the_gradient_is_that_of_peft_on_its_own(tmp_path):
    """GRPO with a KL penalty, written down once more over peft's model and plain logits."""
    model, base = adapted(), random_model("llama", dtype=torch.float64, spread=2.0)
    moved(model)
    theirs = peft.get_peft_model(
        base, peft.LoraConfig(r=2, lora_alpha=4, target_modules="all-linear")
    )
    policy_writer(model, None)(tmp_path / "adapter")
    theirs.load_adapter(str(tmp_path / "adapter"), "policy", is_trainable=True)
    theirs.set_adapter("policy")

    algorithm = algorithms.grpo(kl_coef=0.1)
    update = updater(algorithm, Models(policy=model), tmp_path, tokens=16)
    whole, _, _ = update.with_signals(batch(), {})
    update.step(whole, PROMPTS, torch.arange(4))

    loss = torch.zeros((), dtype=torch.float64)
    for row, prompt in enumerate(PROMPTS):
        said = whole.token_ids[row][whole.mask[row]]
        ids = torch.tensor([*prompt, *said.tolist()])
        logits = theirs(input_ids=ids[None]).logits[0, len(prompt) - 1 : -1]
        logp = logits.log_softmax(-1)[range(len(said)), said]
        ratio, kl = (logp - logp.detach()).exp(), (-2.0 - logp).exp() - (-2.0 - logp) - 1
        advantage = whole.advantages[row][whole.mask[row]]
        loss = loss + (-advantage * ratio + 0.1 * kl).mean() / 4
    loss.backward()
    found = {n: w.grad for n, w in theirs.named_parameters() if ".policy." in n}
    ours = {f"base_model.model.{n}": w.grad for n, w in model.named_parameters() if w.requires_grad}
    assert found.keys() == ours.keys()
    assert max(gradient.abs().max() for gradient in ours.values()) > 1e-3
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, found[name], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["grpo", "opd"])
def test_recomputed_activations_and_a_reference_in_between_change_no_gradient(name, tmp_path):
    """The backward pass comes after the reference was in use, and runs the forward again."""
    gradients = []
    for recomputed in (False, True):
        model = adapted()
        moved(model)
        if recomputed:
            recompute_activations(model)
        other = [Shared(model, None)]
        update = updater(
            algorithms.get(name), Models(policy=model, reference=other[0], teachers=other), tmp_path
        )
        whole, _, _ = update.with_signals(batch(), {})
        update.step(whole, PROMPTS, torch.arange(4))
        gradients.append([w.grad for w in model.parameters() if w.requires_grad])
    for plain, again in zip(*gradients, strict=True):
        assert plain.abs().max() > 0
        torch.testing.assert_close(plain, again, rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------ merged


@pytest.mark.parametrize("name", BUILDERS)
def test_the_merged_model_says_what_the_adapter_says(name):
    for dtype, tolerance in ((torch.float32, 2e-5), (torch.float64, 1e-12)):
        model = adapted(name, dtype)
        moved(model)
        before = {key: weight.clone() for key, weight in model.state_dict().items()}
        plain = random_model(name, dtype=dtype, spread=2.0)
        plain.load_state_dict(dict(merged_weights(model)))
        torch.testing.assert_close(logprobs(plain), logprobs(model), rtol=0, atol=tolerance)
        assert all(torch.equal(before[key], weight) for key, weight in model.state_dict().items())


def test_a_model_without_adapter_gives_its_own_weights():
    model = random_model("llama")
    found = dict(merged_weights(model))
    assert found.keys() == model.state_dict().keys()
    assert all(torch.equal(found[key], weight) for key, weight in model.state_dict().items())


# ------------------------------------------------------------------ several adapters


def test_a_frozen_adapter_of_the_same_base_comes_and_goes(tmp_path):
    """Of another rank and other layers than the policy's."""
    teacher = adapted(rank=5, alpha=7, target_modules=("q_proj", "down_proj"))
    moved(teacher, seed=2)
    policy_writer(teacher, None)(tmp_path / "teacher")
    model = adapted(target_modules=("up_proj", "q_proj"))
    moved(model)
    before = logprobs(model)
    view = shared(model, str(tmp_path / "teacher"))
    assert torch.equal(logprobs(view), logprobs(teacher))
    assert torch.equal(logprobs(model), before)
    assert torch.equal(logprobs(shared(model, "the base")), logprobs(shared(teacher, "the base")))
    frozen = [weight for name, weight in model.named_parameters() if ".frozen-" in name]
    assert frozen
    assert not any(weight.requires_grad for weight in frozen)
    merged = dict(merged_weights(view))
    wanted = dict(merged_weights(teacher))
    assert merged.keys() == wanted.keys()
    assert all(torch.equal(merged[key], weight) for key, weight in wanted.items())
    del view
    gc.collect()
    assert not any(".frozen-" in name for name, _ in model.named_parameters())
    assert list(model.peft_config) == ["policy"]
    assert torch.equal(logprobs(model), before)


def test_an_adapter_is_put_back_whatever_happens():
    model = adapted()
    moved(model)
    before = logprobs(model)
    with suppress(KeyboardInterrupt), keeping_adapter(model):
        moved(model, seed=5)
        assert not torch.equal(logprobs(model), before)
        raise KeyboardInterrupt
    assert torch.equal(logprobs(model), before)


# ------------------------------------------------------------------ what is asked for


def test_named_layers_alone_are_adapted():
    model = adapted(target_modules=("q_proj", "layers.1.mlp.up_proj"))
    names = {name.split(".lora_")[0] for name, w in model.named_parameters() if w.requires_grad}
    assert names == {
        "model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj",
        "model.layers.1.mlp.up_proj",
    }  # fmt: skip


@pytest.mark.parametrize("names", ["w_proj", ("q_proj", "lm_head"), ("embed_tokens",), ()])
def test_layers_that_cannot_be_adapted_are_refused_with_those_that_can(names):
    with pytest.raises(ConfigurationError, match=r"There are: down_proj.*v_proj\. Name some"):
        adapted(target_modules=names)


def test_all_linear_layers_leave_out_the_head():
    model = adapted("llama")
    assert not any("lm_head" in n for n, w in model.named_parameters() if w.requires_grad)
    assert len([n for n, w in model.named_parameters() if w.requires_grad]) == 2 * 2 * 7


# ------------------------------------------------------------------ memory


def wide_model(directory: Path) -> Path:
    """A model whose weights outweigh the activations of a few tokens."""
    letters.write_model(directory)
    config = LlamaConfig.from_pretrained(directory)
    config.hidden_size, config.intermediate_size, config.head_dim = 256, 512, 128
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


def parameters_in_memory() -> int:
    """Bytes of all parameters that are alive, each storage once."""
    gc.collect()
    found = [x for x in gc.get_objects() if type(x) is torch.nn.Parameter]
    return sum({x.untyped_storage().data_ptr(): x.nbytes for x in found}.values())


class Weighing(letters.Log):
    """Weighs what is in memory after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: list[int] = []

    def on_step(self, step: int, total: int | None, metrics: Any) -> None:
        super().on_step(step, total, metrics)
        self.bytes.append(parameters_in_memory())


def test_there_is_never_a_second_base_in_memory(pool, tmp_path):
    """OWPO against the start, then against its own first stage, with a diagnostic in between."""
    model = wide_model(tmp_path / "model")
    small = {"optimiser": {"micro_batch_tokens": 40}, "rollout": {"prompts": 2, "responses": 2}}
    before = parameters_in_memory()
    peaks = {}
    for name, lora in (("lora", {"rank": 1}), ("whole", {})):
        log = Weighing()
        run = letters.trainer(
            tmp_path / name, model, pool, algorithm="owpo", log=log, rows=4, lora=lora,
            diagnostics={"distance_every": 2, "prompts": 2}, **small,
        )  # fmt: skip
        base = sum(
            weight.nbytes for n, weight in run.policy.model.named_parameters() if ".lora_" not in n
        )
        own = sum(
            weight.nbytes for n, weight in run.policy.model.named_parameters() if ".lora_" in n
        )
        with LiveBytes() as live:
            first = run.train(steps=2)
            run.train(steps=2, reference=first.last)
        peaks[name] = live.peak / base
        if name == "lora":
            one, two = base + own, base + 2 * own  # the second stage has a frozen adapter, too
            assert [n - before for n in log.bytes] == [one, one, two, two]
            assert own < base / 20
        else:
            assert log.bytes[-1] - before == 2 * base
        del run, log
    assert peaks["lora"] < 0.9  # activations and all
    assert peaks["whole"] > 3  # gradients and moments


def test_a_fit_and_its_sides_need_no_second_base(pool, tmp_path):
    model = wide_model(tmp_path / "model")
    run = letters.trainer(
        tmp_path / "run", model, pool, algorithm="implicit_ce", rows=4, lora={"rank": 1},
        optimiser={"micro_batch_tokens": 40},
    )  # fmt: skip
    base = sum(w.nbytes for n, w in run.policy.model.named_parameters() if ".lora_" not in n)
    with LiveBytes() as live:
        batch = run.sample(prompts=2, responses=2)
        first = run.fit(batch, steps=2, prompts=2, snapshots=[1])
        second = run.fit(batch, steps=1, prompts=2, start=first.snapshots[1], reference=first.last)
        run.log_ratio(batch, numerator=first.last, denominator=second.last)
        run.adopt(second.last, steps=1)
    assert live.peak < 0.9 * base
    assert list(run.policy.model.peft_config) == ["policy"]
