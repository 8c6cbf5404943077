"""The tiny base model: a third of a million parameters that work sums out step by step.

Built on this machine by short supervised training on demonstrations of the embedded task, then kept
in a cache; nothing is downloaded, and every algorithm starts from the same weights. Each kind of
step (total, operator, digit) has a reliability and a favourite mistake of its own in the
demonstrations, so that the base is right half the time, unsure in many places and firmly wrong in
some: what reinforcement can mend.
"""

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from torch.nn import functional as F
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from jumar.engines.local.checkpoint import replace_directory
from jumar.tasks import get
from jumar.tasks.task import Example, Task

EMBEDDED = "gym:chain_sum?max_digits=1&max_terms=3&min_digits=1&min_terms=2&size=20000"
LONGER = "gym:chain_sum?max_digits=1&max_terms=5&min_digits=1&min_terms=3&size=20000"
HARD = "gym:chain_sum?max_digits=1&max_terms=6&min_digits=1&min_terms=5&size=20000"
RECIPE: dict[str, Any] = {
    "version": 1,
    "tasks": {EMBEDDED: 4, LONGER: 1},  # demonstrations per training prompt
    "longer_share": 0.15,  # of the batches
    "reliability": [0.15, 1.0, 0.45],  # lowest, highest, and the power that shapes the draw
    "favourite": 0.6,  # share of mistakes that are the step's own
    "vocabulary": 384,
    "model": {
        "hidden_size": 96,
        "intermediate_size": 384,
        "num_hidden_layers": 2,
        "initializer_range": 0.08,  # at 0.02 so small a model needs far longer to learn sums
    },
    "steps": 700,
    "batch": 64,
    "learning_rate": 3e-3,
    "threads": 2,  # sums depend on it, and the base has to be the same for everybody
}
PAD, EOS = "<pad>", "<eos>"

Progress = Callable[[int, int], None]


def tiny_model(cache: Path | None = None, on_progress: Progress | None = None) -> tuple[Any, Any]:
    """(model, tokenizer): from the cache, after building it there if it is not."""
    directory = tiny_directory(cache)
    if not (directory / "config.json").is_file():
        replace_directory(directory, lambda path: _build(path, on_progress))
    model = LlamaForCausalLM.from_pretrained(directory, local_files_only=True)
    return model, AutoTokenizer.from_pretrained(directory, local_files_only=True)


def tiny_directory(cache: Path | None = None) -> Path:
    """Where the base lies: one directory per recipe and versions, for they decide its bits."""
    parts = json.dumps([RECIPE, torch.__version__, transformers.__version__], sort_keys=True)
    name = f"tiny-{hashlib.sha256(parts.encode()).hexdigest()[:12]}"
    return (cache or cache_root()) / name


def cache_root() -> Path:
    """Where runs share what is made once: $JUMAR_CACHE, or ~/.cache/jumar."""
    return Path(os.environ.get("JUMAR_CACHE") or Path.home() / ".cache" / "jumar")


def demonstration(example: Example, draw: random.Random) -> str:
    """The sum worked out step by step, some steps wrong, and the total that came of it."""
    first, *rest = example.metadata["expression"].split(" ")
    total, lines = int(first), []
    for operator, digit in zip(rest[::2], rest[1::2], strict=True):
        result = _step(total, operator, int(digit), draw)
        lines.append(f"{total} {operator} {digit} = {result}")
        total = result
    return "\n".join([*lines, f"#### {total}"])


def _step(total: int, operator: str, digit: int, draw: random.Random) -> int:
    right = total + digit if operator == "+" else total - digit
    kind = random.Random(f"{total} {operator} {digit}")
    low, high, power = RECIPE["reliability"]
    reliability = low + (high - low) * kind.random() ** power
    favourite = kind.choice([-3, -2, -1, 1, 2, 3, 10, -10])
    if draw.random() < reliability:
        return right
    if draw.random() < RECIPE["favourite"]:
        return right + favourite
    return right + draw.choice([-3, -2, -1, 1, 2, 3])


def _build(directory: Path, on_progress: Progress | None) -> None:
    draw = random.Random(1)
    pools = [
        [
            (task.template.text(example), demonstration(example, draw))
            for example in task.train
            for _ in range(repeats)
        ]
        for task, repeats in _tasks()
    ]
    texts = [prompt + response for pool in pools for prompt, response in pool[:2000]]
    tokenizer = _tokenizer(texts)
    batches = _batches([_encoded(tokenizer, pool) for pool in pools])
    with _deterministic():
        model = _trained(_new_model(len(tokenizer)), batches, on_progress)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def _tasks() -> list[tuple[Task, int]]:
    return [(get(spec), repeats) for spec, repeats in RECIPE["tasks"].items()]


def _tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE, so any text encodes; digits stay single, boilerplate becomes few tokens."""
    raw = Tokenizer(BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=RECIPE["vocabulary"],
        special_tokens=[PAD, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token=PAD, eos_token=EOS)


def _encoded(
    tokenizer: PreTrainedTokenizerFast, pool: Sequence[tuple[str, str]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [N, L], and labels [N, L] that are -100 on the prompt and the padding."""
    prompts = tokenizer([prompt for prompt, _ in pool]).input_ids
    responses = tokenizer([response for _, response in pool]).input_ids
    longest = max(len(p) + len(r) + 1 for p, r in zip(prompts, responses, strict=True))
    ids = torch.full((len(pool), longest), tokenizer.pad_token_id)
    labels = torch.full((len(pool), longest), -100)
    for i, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        row = torch.tensor([*prompt, *response, tokenizer.eos_token_id])
        ids[i, : len(row)] = row
        labels[i, len(prompt) : len(row)] = row[len(prompt) :]
    return ids, labels


def _batches(
    pools: Sequence[tuple[torch.Tensor, torch.Tensor]],
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches, each from one pool, so that short rows are not padded to long ones."""
    draw = torch.Generator().manual_seed(0)
    while True:
        longer = bool(torch.rand((), generator=draw) < RECIPE["longer_share"])
        ids, labels = pools[int(longer)]
        rows = torch.randint(len(ids), (RECIPE["batch"] // (1 + longer),), generator=draw)
        yield ids[rows], labels[rows]


def _new_model(vocabulary: int) -> LlamaForCausalLM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(
            LlamaConfig(
                **RECIPE["model"],
                vocab_size=vocabulary,
                num_attention_heads=4,
                num_key_value_heads=4,
                max_position_embeddings=512,
                tie_word_embeddings=True,
                pad_token_id=0,
                eos_token_id=1,
                bos_token_id=None,
            )
        )


def _trained(
    model: LlamaForCausalLM,
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]],
    on_progress: Progress | None,
) -> LlamaForCausalLM:
    steps, peak = RECIPE["steps"], RECIPE["learning_rate"]
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.01)
    model.train()
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = peak * min(1.0, (step + 1) / 30) * (1 - step / steps)
        ids, labels = next(batches)
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        told = labels[:, 1:] != -100
        loss = F.cross_entropy(model.lm_head(hidden[told]), labels[:, 1:][told])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if on_progress is not None:
            on_progress(step + 1, steps)
    return model.eval()


@contextmanager
def _deterministic() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(RECIPE["threads"])
    try:
        yield
    finally:
        torch.set_num_threads(before)
