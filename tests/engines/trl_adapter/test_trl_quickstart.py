"""What a TRL user changes to try OWPO: five lines of TRL's own quickstart, which then runs."""

import ast
import difflib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from equivalence.peers import peer

ROOT = Path(__file__).parents[3]
BEFORE, AFTER = (ROOT / "examples" / f"trl_{name}.py" for name in ("grpo", "owpo"))
WORDS = ["<pad>", "<eos>", "<unk>", "what", "is", "+", *map(str, range(10))]
ANSWERS = [f"\\boxed{{{number}}}" for number in (1, 2, 3)]
TEMPLATE = "{% for message in messages %}{{ message['content'] + ' ' }}{% endfor %}"


def code(file):
    """Lines after the docstring, without empty ones."""
    text = file.read_text(encoding="utf-8")
    start = ast.parse(text).body[0].end_lineno
    return [line for line in text.splitlines()[start:] if line]


def changes():
    """The lines of the diff that are taken away or added."""
    lines = list(difflib.unified_diff(code(BEFORE), code(AFTER), n=0, lineterm=""))[2:]
    return [line for line in lines if not line.startswith("@@")]


def test_five_lines_change():
    assert len(changes()) <= 5, changes()


def test_the_documentation_shows_just_these_lines():
    page = (ROOT / "docs" / "trl.md").read_text(encoding="utf-8")
    shown = page.partition("```diff\n")[2].partition("```")[0].splitlines()
    assert [line[1:] for line in shown if line[0] != "+"] == code(BEFORE)
    assert [line[1:] for line in shown if line[0] != "-"] == code(AFTER)


def policy(folder):
    """A random model that says one of three boxed answers every other word."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: number for number, word in enumerate([*WORDS, *ANSWERS])}
    splitting = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    splitting.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=splitting, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>",
        chat_template=TEMPLATE,
    )  # fmt: skip
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, pad_token_id=0, eos_token_id=1,
        bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.mark.slow
def test_the_changed_script_trains(tmp_path):
    peer("trl")
    policy(tmp_path / "model")
    questions = [{"role": "user", "content": f"what is {n} + 1"} for n in (0, 1, 2)]
    rows = [{"prompt": [q], "solution": ANSWERS[n]} for n, q in enumerate(questions)]
    (tmp_path / "sums.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [*rows, rows[0]])
    )
    done = subprocess.run(
        [sys.executable, str(AFTER), "model", "sums.jsonl"],
        cwd=tmp_path, capture_output=True, text=True, timeout=400,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": "cache"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (last,) = (tmp_path / "trl-run").glob("checkpoint-*")
    state = json.loads((last / "trainer_state.json").read_text())
    steps = [row for row in state["log_history"] if "loss" in row]
    assert steps[-1]["weight"] > 0  # OWPO's
    assert steps[-1]["kept"] > 0
    before, after = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "model", last)
    )
    assert any(not torch.equal(after[name], weight) for name, weight in before.items())
