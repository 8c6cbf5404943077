"""A model, prompts and a reward for verl that are small enough for a processor."""

import json
import random
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

CHARACTERS = "0123456789+-= "
SPECIAL = ["<pad>", "<eos>", "<unk>"]
PROMPT, RESPONSE = 8, 12  # tokens at most
REWARD = """
import watch

def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    watch.kill("ray::AgentLoopWorker")
    return float(sum(map(ord, solution_str)) % 2)  # a coin for each response: no group is sure
"""


def model(folder: Path) -> None:
    """A random Qwen3 of two layers that knows digits and signs."""
    words = {word: number for number, word in enumerate([*SPECIAL, *CHARACTERS])}
    letters = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    letters.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=letters, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>",
        padding_side="left",
        chat_template="{% for message in messages %}{{ message['content'] }}{% endfor %}",
    )  # fmt: skip
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(words), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=32, max_position_embeddings=64,
        tie_word_embeddings=False, pad_token_id=0, eos_token_id=1, bos_token_id=None,
        initializer_range=0.2,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def prompts(folder: Path, count: int) -> list[str]:
    """Sums as verl's data set, train and test; and their texts."""
    draw = random.Random(0)
    texts = [f"{a}+{b}=" for a in range(3, 9) for b in range(3, 9)]
    chosen = draw.sample(texts, count)
    rows = [
        {
            "data_source": "sums",
            "prompt": [{"role": "user", "content": text}],
            "reward_model": {"style": "rule", "ground_truth": str(number % 10)},
            "extra_info": {"index": number},
        }
        for number, text in enumerate(chosen)
    ]
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        Dataset.from_list(rows).to_parquet(str(folder / f"{split}.parquet"))
    (folder / "reward.py").write_text(REWARD)
    return chosen


def settings(home: Path, *, prompts: int, responses: int, steps: int) -> list[str]:
    """What a run on a processor needs of verl, and nothing about the algorithm."""
    rollout, actor = "actor_rollout_ref.rollout", "actor_rollout_ref.actor"
    exact = "{param_dtype:fp32,reduce_dtype:fp32,buffer_dtype:fp32}"
    reward = home / "data" / "gsm8k" / "reward.py"
    return [
        f"actor_rollout_ref.model.path={home / 'model'}",
        f"critic.model.path={home / 'model'}",
        "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
        "actor_rollout_ref.model.use_remove_padding=False",
        "actor_rollout_ref.model.enable_gradient_checkpointing=False",
        f"data.train_batch_size={prompts}",
        f"data.max_prompt_length={PROMPT}",
        f"data.max_response_length={RESPONSE}",
        "data.dataloader_num_workers=0",
        "data.shuffle=False",
        f"reward.custom_reward_function.path={reward}",
        "reward.custom_reward_function.name=compute_score",
        "reward.num_workers=1",
        f"{actor}.strategy=fsdp2",
        f"{actor}.fsdp_config.model_dtype=fp32",
        f"+{actor}.fsdp_config.mixed_precision={exact}",
        f"{actor}.fsdp_config.use_torch_compile=False",
        f"{actor}.use_torch_compile=False",
        f"{actor}.ppo_mini_batch_size={prompts}",
        f"{actor}.ppo_micro_batch_size_per_gpu={prompts * responses // 2}",
        f"{actor}.optim.lr=0.01",
        f"{actor}.optim.clip_grad=1e9",  # gradients are compared as they are
        "actor_rollout_ref.ref.strategy=fsdp2",
        "actor_rollout_ref.ref.fsdp_config.model_dtype=fp32",
        f"+actor_rollout_ref.ref.fsdp_config.mixed_precision={exact}",
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=8",
        f"{rollout}.n={responses}",
        f"{rollout}.dtype=float32",
        f"{rollout}.enforce_eager=True",
        f"{rollout}.free_cache_engine=False",
        f"++{rollout}.enable_sleep_mode=False",
        f"{rollout}.load_format=auto",
        f"{rollout}.max_model_len=64",
        f"{rollout}.max_num_seqs=64",
        f"{rollout}.max_num_batched_tokens=512",
        f"{rollout}.log_prob_micro_batch_size_per_gpu=8",
        f"{rollout}.agent.num_workers=1",
        f"{rollout}.checkpoint_engine.update_weights_bucket_megabytes=16",
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
        "trainer.device=cpu",
        f"trainer.total_training_steps={steps}",
        "trainer.save_freq=-1",
        "trainer.test_freq=-1",
        "trainer.resume_mode=disable",
        f"trainer.default_local_dir={home / 'checkpoints'}",
        "ray_kwargs.ray_init.num_cpus=8",
        "+ray_kwargs.ray_init.num_gpus=1",
        "+ray_kwargs.ray_init.include_dashboard=False",
        f"+ray_kwargs.ray_init._temp_dir={home / 'ray'}",
    ]


def lines(file: Path) -> list[dict[str, object]]:
    """Rows of a JSON lines file."""
    return [json.loads(line) for line in file.read_text().splitlines()]
