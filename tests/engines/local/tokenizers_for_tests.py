"""Small tokenizers, each with a habit that has broken trainers."""

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
)
SPECIAL = ["<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>"]
CHARACTERS = sorted(set("abcdefghijklmnopqrstuvwxyz 0123456789+-=?.,:[]\n"))


def tokenizer(
    *,
    pad: str | None = "<pad>",
    bos: bool = False,
    eos_added: bool = False,
    chat: str | None = None,
) -> Any:
    """One character, one token; `bos` and `eos_added`: what it puts around a text by itself."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *CHARACTERS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    raw.decoder = decoders.Fuse()
    raw.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    if bos or eos_added:
        template = ("<s> " if bos else "") + "$A" + (" </s>" if eos_added else "")
        raw.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[("<s>", 0), ("</s>", 1)]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token=pad
    )
    fast.chat_template = chat
    return fast
