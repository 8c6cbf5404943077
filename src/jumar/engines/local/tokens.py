"""Between text and token ids: prompts in, responses out, stored responses in.

What is sampled is what is trained: token ids are never decoded and tokenised again. The tokenizer
is used as it comes and never changed, so that it is saved as it came; padding is told from tokens
by masks alone, which is why pad and EOS may be the same token.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import jinja2
import torch

from jumar.engines.local.sampler import Sampled, sample_numbers
from jumar.errors import ConfigurationError, DataError
from jumar.tasks.task import Example, PromptTemplate
from jumar.verifiers.score import Score, Status

Messages = list[dict[str, str]]


class Prompts:
    """Examples as token ids, in the form in which one model is asked.

    With a chat template (the tokenizer's, or `chat_template`; "" for none) the messages go through
    it, and it alone decides about BOS. Without one they are plain text, system and user on lines of
    their own, behind a BOS where the tokenizer puts one.
    """

    def __init__(
        self,
        tokenizer: Any,
        template: PromptTemplate,
        *,
        generation_config: Any,
        system_prompt: str | None = None,
        chat_template: str | None = None,
        max_tokens: int,
    ) -> None:
        self.tokenizer, self.template, self.max_tokens = tokenizer, template, max_tokens
        self.system_prompt = system_prompt
        own = getattr(tokenizer, "chat_template", None)
        self.chat_template = own if chat_template is None else chat_template
        self.eos_ids = eos_ids(tokenizer, generation_config)
        pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
        self.pad_id: int = self.eos_ids[0] if pad is None else pad
        self._end: int = self.eos_ids[0] if eos is None else eos

    def encode(self, example: Example) -> list[int]:
        """Token ids of the whole prompt, the beginning of the answer included."""
        ids = self._encode(example)
        if not ids:
            raise DataError(
                "A prompt is empty, but the model needs at least one token to continue. It has no "
                "BOS token and the template adds nothing. Leave the row out or give a system text."
            )
        if len(ids) > self.max_tokens:
            raise DataError(
                f"The prompt {example.prompt[:60]!r}... is {len(ids)} tokens long, but the limit "
                f"is {self.max_tokens}. A prompt that is cut asks another question. Raise the "
                "prompt limit, or leave such prompts out."
            )
        return ids

    def fitting(self, examples: Iterable[Example]) -> list[Example]:
        """The examples whose prompts keep the limit; who calls it reports how many did not."""
        return [example for example in examples if len(self._encode(example)) <= self.max_tokens]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of a response for its verifier, without special tokens."""
        text: str = self.tokenizer.decode(
            token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def encode_response(self, text: str, max_tokens: int | None = None) -> list[int]:
        """Token ids of a given response and its EOS, cut at `max_tokens`."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return [*ids, self._end][:max_tokens]

    def stored(
        self,
        examples: Sequence[Example],
        *,
        max_tokens: int | None = None,
        device: torch.device | str = "cpu",
    ) -> tuple[list[Example], Sampled, list[Score]]:
        """Rows of responses that a data set gives: one of `response`, or `chosen` and `rejected`.

        Nobody recorded the log-probs they were written with, so those are NaN in `logprobs`; scores
        are the row's `reward`, else 1 for a response or the chosen one and 0 for the rejected one.
        """
        rows, texts, scores = list[Example](), list[str](), list[Score]()
        for example in examples:
            for text, score in given_responses(example):
                rows.append(example)
                texts.append(text)
                status: Status = "right" if score >= 1.0 else "wrong"
                scores.append(Score(score=score, correct=score >= 1.0, status=status))
        whole = [self.encode_response(text) for text in texts]
        numbers = sample_numbers([example.prompt_id for example in rows], 1)
        columns = (*self._columns(whole, max_tokens), numbers)
        return rows, Sampled(*(column.to(device) for column in columns)), scores

    def _columns(
        self, whole: Sequence[Sequence[int]], limit: int | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        longest = max(len(ids) for ids in whole)
        shape = len(whole), longest if limit is None else min(longest, limit)
        token_ids, mask = torch.full(shape, self.pad_id), torch.zeros(shape, dtype=torch.bool)
        for row, ids in enumerate(whole):
            kept = ids[: shape[1]]
            token_ids[row, : len(kept)], mask[row, : len(kept)] = torch.tensor(kept), True
        truncated = torch.tensor([len(ids) > shape[1] for ids in whole])
        return token_ids, mask, torch.full(shape, torch.nan), truncated

    def _encode(self, example: Example) -> list[int]:
        messages = self.template.messages(example)
        if self.system_prompt is not None:
            user = [message for message in messages if message["role"] != "system"]
            messages = [{"role": "system", "content": self.system_prompt}, *user]
        return self._chat(messages) if self.chat_template else self._plain(messages)

    def _plain(self, messages: Messages) -> list[int]:
        text = "\n".join(message["content"] for message in messages)
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        # what the tokenizer adds to nothing tells of its BOS; an EOS it adds would end the prompt
        added, bos = self.tokenizer("").input_ids, self.tokenizer.bos_token_id
        begins = bool(added) and bos is not None and added[0] == bos and ids[:1] != [bos]
        return [bos, *ids] if begins else ids

    def _chat(self, messages: Messages) -> list[int]:
        try:
            return self._templated(messages)
        except jinja2.TemplateError as error:
            if messages[0]["role"] == "system":  # some templates know no system role
                first, second, *rest = messages
                content = f"{first['content']}\n{second['content']}"
                return self._chat([{"role": "user", "content": content}, *rest])
            raise ConfigurationError(
                f"The chat template refuses the prompt ({error}), but it has to accept one user "
                "message. Prompts are written by it. Give another one as `chat_template`, or an "
                "empty one for plain text."
            ) from error

    def _templated(self, messages: Messages) -> list[int]:
        ids: list[int] = self.tokenizer.apply_chat_template(
            messages,
            chat_template=self.chat_template,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
        return ids


def eos_ids(tokenizer: Any, generation_config: Any) -> tuple[int, ...]:
    """Every token that ends a response: the generation config's and the tokenizer's."""
    configured = getattr(generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    ids = {token for token in [*listed, tokenizer.eos_token_id] if token is not None}
    if not ids:
        raise DataError(
            "The model has no EOS token, but the sampler needs one to know where a response ends. "
            "Neither its generation config nor its tokenizer names any. Set `eos_token` in "
            "tokenizer_config.json, or `eos_token_id` in generation_config.json."
        )
    return tuple(sorted(ids))


def given_responses(example: Example) -> list[tuple[str, float]]:
    """(text, reward) of the responses that an example brings; DataError where it has none."""
    if example.chosen is not None and example.rejected is not None:
        return [(example.chosen, 1.0), (example.rejected, 0.0)]
    if example.response is not None:
        return [(example.response, 1.0 if example.reward is None else example.reward)]
    raise DataError(
        f"The example {example.prompt[:60]!r}... has no response, but training from a data set "
        "needs one in each row. There is nothing to learn from a prompt alone. Add a `response` "
        "column, or `chosen` and `rejected`, or sample from the policy instead."
    )
