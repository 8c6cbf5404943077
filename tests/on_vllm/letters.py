"""A model of random weights, and a task that it can learn: most of a response sorts before "k".

The model has what vLLM's CPU build needs help with: heads of 24, and one weight in two layers.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = {token: i for i, token in enumerate(["<pad>", "<eos>", " ", *LETTERS])}
EOS = VOCABULARY["<eos>"]


def rows() -> Iterator[dict[str, Any]]:
    for x in LETTERS:
        for y in LETTERS[:8]:
            yield {"prompt": f"say {x}{y}", "answer": x}


def early(response: str, example: dict[str, Any]) -> float:
    return float(sum(c < "k" for c in response) > len(response) / 2)


def write_model(directory: Path) -> Path:
    raw = Tokenizer(models.WordLevel(VOCABULARY, unk_token=" "))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    raw.decoder = decoders.Fuse()
    raw.add_special_tokens([AddedToken(token, special=True) for token in ("<pad>", "<eos>")])
    PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<eos>", pad_token="<pad>"
    ).save_pretrained(directory)
    config = LlamaConfig(
        vocab_size=len(VOCABULARY), hidden_size=48, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=24, initializer_range=0.2,
        max_position_embeddings=256, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=EOS, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory
