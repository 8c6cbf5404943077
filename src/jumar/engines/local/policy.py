"""A model that answers: weights, tokenizer and prompt format in one object."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from jumar.engines.contract import Responses
from jumar.engines.local.distributed import on_main
from jumar.engines.local.lora import merged_weights, policy_writer
from jumar.engines.local.models import is_adapted, save_model
from jumar.engines.local.sampler import Ended, LocalSampler, Sampled, Sampler, Sampling, sample
from jumar.engines.local.tokens import Prompts
from jumar.engines.settings import ModelSettings
from jumar.tasks.task import Example, PromptTemplate


class LocalPolicy:
    """Responds to examples of a task with one model on this machine.

    `sampler` draws its responses; it is this machine's own unless an engine brings another.
    """

    def __init__(
        self, model: torch.nn.Module, tokenizer: Any, template: PromptTemplate,
        settings: ModelSettings, *, max_prompt_tokens: int, max_response_tokens: int, rows: int,
    ) -> None:  # fmt: skip
        self.model, self.tokenizer = model, tokenizer
        self.max_response_tokens, self.rows = max_response_tokens, rows
        self.sampler: Sampler = LocalSampler(rows)
        self.prompts = Prompts(
            tokenizer,
            template,
            generation_config=getattr(model, "generation_config", None),
            system_prompt=settings.system_prompt,
            chat_template=settings.chat_template,
            max_tokens=max_prompt_tokens,
        )

    def with_model(self, model: torch.nn.Module) -> "LocalPolicy":
        """Another model that is asked in the same way, by the sampler of this machine."""
        other = copy.copy(self)
        other.model, other.sampler = model, LocalSampler(self.rows)
        return other

    def synchronise(self) -> dict[str, float]:
        """To be called whenever the weights have changed; metrics of what it took."""
        return self.sampler.synchronise(self.model)

    def sample(
        self,
        examples: Sequence[Example],
        *,
        samples: int,
        sampling: Sampling,
        seed: int,
        step: int = 0,
        ended: Ended | None = None,
    ) -> Sampled:
        """`samples` responses in a row for each example, as token ids with their log-probs."""
        return self.sampler.sample(
            self.model,
            [self.prompts.encode(example) for example in examples],
            [example.prompt_id for example in examples],
            group=samples,
            sampling=sampling,
            max_tokens=self.max_response_tokens,
            eos_ids=self.prompts.eos_ids,
            pad_id=self.prompts.pad_id,
            seed=seed,
            step=step,
            ended=ended,
        )

    def continue_from(
        self,
        contexts: Sequence[Sequence[int]],
        context_ids: Sequence[int],
        *,
        samples: int,
        sampling: Sampling,
        max_tokens: int,
        seed: int,
        step: int,
    ) -> Sampled:
        """`samples` continuations in a row of each context: a prompt and how its response began."""
        return sample(
            self.model,
            contexts,
            context_ids,
            group=samples,
            sampling=sampling,
            max_tokens=max_tokens,
            eos_ids=self.prompts.eos_ids,
            pad_id=self.prompts.pad_id,
            seed=seed,
            step=step,
            rows=self.rows,
        )

    def texts(self, sampled: Sampled) -> list[str]:
        """The responses as the verifier reads them: without special tokens."""
        rows = zip(sampled.token_ids, sampled.mask, strict=True)
        return [self.prompts.decode(ids[mask].tolist()) for ids, mask in rows]

    def respond(
        self,
        examples: Sequence[Example],
        *,
        samples: int,
        temperature: float,
        top_p: float,
        seed: int,
    ) -> Responses:
        """Responses for an evaluation; temperature 0 is greedy."""
        sampling = Sampling(temperature=temperature, top_p=top_p)
        sampled = self.sample(examples, samples=samples, sampling=sampling, seed=seed)
        return Responses(
            texts=self.texts(sampled),
            tokens=sampled.mask.sum(dim=1).tolist(),
            truncated=sampled.truncated.tolist(),
        )

    def writer(self) -> Callable[[Path], None]:
        """What writes what was trained: a plain Hugging Face directory, or an adapter in peft's
        format; see `policy_writer`.
        """
        return policy_writer(self.model, self.tokenizer)

    def whole_writer(self) -> Callable[[Path], None]:
        """What writes a plain Hugging Face directory, an adapter merged into it; as `writer`."""
        if not is_adapted(self.model):
            return self.writer()
        tied: Any = self.model.all_tied_weights_keys
        merged = on_main(merged_weights(self.model, device="cpu"))
        weights = {name: weight for name, weight in merged if name not in tied}
        return lambda directory: save_model(self.model, self.tokenizer, directory, weights)
