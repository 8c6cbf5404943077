"""TRL's own trainers on a tiny model, made to see log-probs and rewards that a test has chosen."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from jumar.types import TokenBatch

from .peers import peer

WORDS = ["<pad>", "<eos>", "<unk>", *"abcdefghijklmnopqrst"]
EQUAL_GROUPS = (4, 4, 4)  # TRL's groups all have num_generations responses

# accelerate and TRL 1.16 still use a name that transformers 5.23 has deprecated
WARNINGS = [
    r"ignore:`(is_)?gradient_checkpointing(_\w+)?` is deprecated:FutureWarning:transformers",
]


def tiny_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


def tiny_model(folder: Path) -> Any:
    """A model that is also on disk, where the trainers look for a copy as reference."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=8, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, pad_token_id=0, eos_token_id=1,
        bos_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config).double()
    model.save_pretrained(folder)
    model.config._name_or_path = str(folder)
    return model


def trainer(kind: str, folder: Path, rows: dict[str, list[str]], **settings: Any) -> Any:
    """A trainer of TRL, or of one of its experimental packages ("a2po.A2PO"), as a user makes it.

    What a test chooses is attached to it: `chosen_logprobs` [B, T] instead of a forward pass, and
    `chosen_rewards` [B] instead of a reward function's float32. The formulas stay TRL's.
    """
    from datasets import Dataset

    package, _, name = kind.rpartition(".")
    trl = peer(f"trl.experimental.{package}" if package else "trl")

    class Chosen(getattr(trl, f"{name}Trainer")):  # type: ignore[misc]
        chosen_logprobs: Tensor
        chosen_rewards: Tensor

        def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
            if not hasattr(self, "chosen_logprobs"):
                return super()._get_per_token_logps_and_entropies(*args, **kwargs)
            return self.chosen_logprobs, torch.zeros_like(self.chosen_logprobs), None

        def _get_sequence_logps(self, model: Any, ids: Tensor, mask: Tensor, keep: int) -> Tensor:
            return (self.chosen_logprobs * mask[:, -keep:]).sum(dim=1)

        def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
            return self.chosen_rewards

    reward = (
        {}
        if name in ("SFT", "DPO", "CPO")
        else {"reward_funcs": lambda completions, **_: completions}
    )
    config = getattr(trl, f"{name}Config")(
        output_dir=str(folder), use_cpu=True, bf16=False, report_to=[], **settings
    )
    return Chosen(
        model=tiny_model(folder / "model"), args=config, train_dataset=Dataset.from_dict(rows),
        processing_class=tiny_tokenizer(), **reward,
    )  # fmt: skip


def policy_trainer(kind: str, folder: Path, **settings: Any) -> Any:
    """GRPO or RLOO over three prompts with four responses each."""
    prompts = {"prompt": ["a", "b", "c"]}
    batch = {"per_device_train_batch_size": 12, "num_generations": 4, "max_completion_length": 7}
    host = trainer(kind, folder, prompts, **{**batch, **settings})
    host.current_gradient_accumulation_steps = 1  # the training loop sets it
    return host


def policy_inputs(tokens: TokenBatch) -> dict[str, Tensor]:
    """What the trainer would have put together for this batch."""
    one = torch.ones(len(tokens), 1, dtype=torch.long)
    inputs = {
        "prompt_ids": one,
        "prompt_mask": one,
        "completion_ids": tokens.token_ids,
        "completion_mask": tokens.mask.long(),
        "advantages": tokens.advantages,
        "num_items_in_batch": tokens.mask.sum(),
    }
    for name in ("old_logprobs", "ref_logprobs"):
        if name in tokens:
            inputs[f"{name.removesuffix('_logprobs')}_per_token_logps"] = tokens[name]
    return inputs


def policy_loss_of(host: Any, tokens: TokenBatch, **inputs: Tensor) -> Any:
    """The trainer's loss as a function of the log-probs."""

    def loss(logprobs: Tensor) -> Tensor:
        host.chosen_logprobs = logprobs
        value: Tensor = host._compute_loss(host.model, {**policy_inputs(tokens), **inputs})
        return value

    return loss


def advantages_by(host: Any, rewards: Tensor) -> Tensor:
    """[B]: the trainer samples, and gets these rewards, of one function or [B, K] of several."""
    host.chosen_rewards = rewards.view(len(rewards), -1)
    rows = [{"prompt": prompt} for prompt in "abc" for _ in range(len(rewards) // 3)]
    made: Tensor = host._generate_and_score_completions(rows)["advantages"]
    return made


def fused_outputs(logprobs: Tensor, mask: Tensor) -> SimpleNamespace:
    """What a model with TRL's fused head returns, for log-probs that a test has chosen."""
    zeros = torch.zeros_like(logprobs)
    return SimpleNamespace(
        log_probs=logprobs * mask, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool(),
        label_mask=mask,
    )  # fmt: skip
