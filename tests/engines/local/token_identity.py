"""Whether what is trained on is what was sampled, for tokenizers with every habit we know of."""

import functools
import itertools
import types
from typing import Any, NamedTuple

import torch
from architectures import random_model
from tokenizers_for_tests import CHAT, NO_SYSTEM, tokenizer

from jumar.engines.local.forward import response_logprobs
from jumar.engines.local.sampler import Sampled, Sampling, sample
from jumar.engines.local.tokens import Prompts
from jumar.tasks.task import Example, PromptTemplate

STRIPS_THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' %}{{ m['content'].split('</think>')[-1] }}"
    "{% else %}{{ m['content'] }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OPENS_THINKING = STRIPS_THINKING.replace(
    "assistant\n{% endif %}", "assistant\n[think]\n{% endif %}"
)
TRIMS = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] | trim }} "
    "{% endfor %}[answer]"
)
TEMPLATES = {
    "plain text": None, "chat": CHAT, "no system role": NO_SYSTEM,
    "strips thinking": STRIPS_THINKING, "opens thinking": OPENS_THINKING, "trims": TRIMS,
}  # fmt: skip
PADDINGS = {"its own": "<pad>", "the eos": "</s>", "none": None}
ROWS = [Example(prompt=text) for text in ("2 + 3 = ?", "a", "what is 10 - 7 + 1, in words?")]


class Case(NamedTuple):
    """A tokenizer and how it asks."""

    template: str
    padding: str
    bos: bool
    system: bool


CASES = [Case(*values) for values in itertools.product(TEMPLATES, PADDINGS, (False, True),
                                                        (False, True))]  # fmt: skip


def differences(case: Case) -> str:
    """What is not as it should be; nothing where all is well."""
    own = tokenizer(pad=PADDINGS[case.padding], bos=case.bos, chat=TEMPLATES[case.template])
    template = PromptTemplate(system="be kind." if case.system else None)
    config = types.SimpleNamespace(eos_token_id=[1, 4])
    coded = Prompts(own, template, generation_config=config, max_tokens=300)
    asked = [coded.encode(row) for row in ROWS]
    model = _model(len(own))
    out = sample(
        model, asked, [1, 2, 3], group=3, sampling=Sampling(), max_tokens=12,
        eos_ids=coded.eos_ids, pad_id=coded.pad_id, seed=0,
    )  # fmt: skip
    repeated = [ids for ids in asked for _ in range(3)]
    again = response_logprobs(model, repeated, out.token_ids, out.mask, sampling=Sampling())
    if not torch.allclose(out.logprobs[out.mask], again.detach()[out.mask], atol=1e-4):
        return "other tokens were drawn than are trained on"
    return _prompts(case, own, asked) or _endings(out, coded.eos_ids)


@functools.cache
def _model(vocabulary: int) -> Any:
    model = random_model("llama", spread=1.0)
    model.config.max_position_embeddings = 512
    model.resize_token_embeddings(vocabulary, mean_resizing=False)
    return model


def _prompts(case: Case, own: Any, asked: list[list[int]]) -> str:
    """The text of every prompt is what the template writes, with one BOS at most."""
    for row, ids in zip(ROWS, asked, strict=True):
        text = own.decode(ids, skip_special_tokens=False)
        begins = case.template == "plain text" or "{{ bos_token }}" in (
            TEMPLATES[case.template] or ""
        )
        if row.prompt not in text or ids.count(0) > int(begins or case.bos):
            return f"the prompt became {text!r}"
        if case.template == "opens thinking" and not text.endswith("[think]\n"):
            return f"the prompt ends {text[-20:]!r}"
    return ""


def _endings(out: Sampled, eos_ids: list[int]) -> str:
    """A response that is not cut ends with the first EOS, which is trained on."""
    for row, mask, cut in zip(out.token_ids, out.mask, out.truncated, strict=True):
        ids = row[mask].tolist()
        ends = [at for at, token in enumerate(ids) if token in eos_ids]
        if ends != ([] if cut else [len(ids) - 1]) or mask[len(ids) :].any():
            return f"a response is {ids}, cut: {bool(cut)}"
    return ""
