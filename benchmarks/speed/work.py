"""The work that both sides do: a model, prompts, and one table of where responses end.

A response ends at the position that the table names, whoever samples it. So both sides make the
same tokens in the same step, and what is compared is the time that they take.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

EOS, PAD, FIRST = 0, 1, 2  # token ids; words are numbered from FIRST
THREADS = 2
LEARNING_RATE = 1e-6  # nobody is here to learn


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One step of training: `prompts` groups of `responses`, one update."""

    prompts: int = 32
    responses: int = 8
    prompt_tokens: int = 16
    response_tokens: int = 32  # the limit
    end_rate: float = 0.0  # chance that a response ends at a token; 0: all are as long as the limit
    vocabulary: int = 1024
    hidden: int = 128
    layers: int = 4
    seed: int = 0

    @property
    def rows(self) -> int:
        """Responses of a step."""
        return self.prompts * self.responses

    @property
    def parameters(self) -> int:
        """Of the model, its few of norms apart; embeddings are tied to the head."""
        return 10 * self.layers * self.hidden**2 + self.vocabulary * self.hidden

    def ends(self, step: int, responses: int | None = None) -> NDArray[np.int64]:
        """[prompts, responses]: the position of each EOS in a step; past the limit where a
        response is cut. What is sampled before the first step is of step 0.
        """
        shape = self.prompts, responses or self.responses
        if not self.end_rate:
            return np.full(shape, self.response_tokens)
        draw = np.random.default_rng((self.seed, step))
        return draw.geometric(self.end_rate, shape) - 1

    def tokens(self, step: int) -> int:
        """Response tokens of a step, every EOS included."""
        return int(np.minimum(self.ends(step) + 1, self.response_tokens).sum())

    def small(self) -> "Work":
        """Very little of the same kind, to see whether something runs."""
        return replace(
            self, prompts=4, responses=min(4, self.responses), prompt_tokens=8, response_tokens=8,
            end_rate=self.end_rate and 0.25, vocabulary=256, hidden=32, layers=1,
        )  # fmt: skip

    def prompt_ids(self) -> list[list[int]]:
        """The prompts as token ids."""
        draw = np.random.default_rng((self.seed, 0))
        shape = self.prompts, self.prompt_tokens
        found: list[list[int]] = draw.integers(FIRST, self.vocabulary, shape).tolist()
        return found

    def texts(self) -> list[str]:
        """The same in words, one for each token."""
        return [" ".join(f"w{number}" for number in row) for row in self.prompt_ids()]

    def write_model(self, folder: Path) -> Path:
        """A decoder with random weights and its tokenizer, as a Hugging Face directory."""
        import torch
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

        heads = max(2, self.hidden // 32)
        config = LlamaConfig(
            vocab_size=self.vocabulary, hidden_size=self.hidden, num_hidden_layers=self.layers,
            intermediate_size=2 * self.hidden, num_attention_heads=heads,
            num_key_value_heads=heads, tie_word_embeddings=True, pad_token_id=PAD,
            bos_token_id=None, eos_token_id=EOS,
            max_position_embeddings=self.prompt_tokens + self.response_tokens,
        )  # fmt: skip
        words = {"<eos>": EOS, "<pad>": PAD}
        words |= {f"w{number}": number for number in range(FIRST, self.vocabulary)}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            LlamaForCausalLM(config).save_pretrained(folder)
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>", unk_token="<pad>"
        ).save_pretrained(folder)
        return folder


def even(prompts: list[str], completions: list[str], **_: object) -> list[float]:
    """The reward, by TRL's signature: whether a response begins with an even word."""
    firsts = [text.split()[:1] for text in completions]
    return [float(bool(first) and int(first[0][1:]) % 2 == 0) for first in firsts]
