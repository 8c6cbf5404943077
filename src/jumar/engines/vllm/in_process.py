"""vLLM started by the run itself: the model lives in processes of its own, which end with the run.

Of vLLM this uses `LLM`, its `collective_rpc` with the worker's `reload_weights`, and its
`llm_engine` with `add_request`, `step`, `has_unfinished_requests`, `add_lora` and
`engine_core.shutdown`; `SamplingParams`, `RequestOutputKind` and `LoRARequest`. None
of them is private, but only `LLM` and `SamplingParams` are promised to stay.
"""

import multiprocessing
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from jumar.engines.local.adapter_files import is_adapter
from jumar.engines.vllm.requests import Delta, Put, Request, failed
from jumar.errors import ConfigurationError

ENVIRONMENT = {
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # the copy of a process with threads can deadlock
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}
ENVIRONMENT_ON_CPU = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the trainer has the same cores, in turn
    "TORCHDYNAMO_DISABLE": "1",  # the first request would wait for a C++ compiler
}
ENDING = 10.0  # seconds to end by itself
ON_GPU = {"gpu_memory_utilization": 0.4}  # the trainer needs the rest
ON_CPU = {"kv_cache_memory_bytes": 2**30, "enforce_eager": True}


class InProcess:
    """An engine that nobody else talks to."""

    name = "vLLM"

    def __init__(self, model: Path, *, dtype: str, room: int, arguments: Mapping[str, Any]) -> None:
        self.room = room
        set_environment()
        before = set(multiprocessing.active_children())
        settings: dict[str, Any] = {
            "dtype": dtype,
            "max_model_len": room,
            "logprobs_mode": "processed_logprobs",  # of the distribution that is drawn from
            "generation_config": "vllm",  # no sampling settings of the model's own
            "enable_prefix_caching": True,  # the responses to a prompt read it once
            "skip_tokenizer_init": True,
            "use_tqdm_on_load": False,  # it would draw a bar at every exchange
            **(ON_GPU if torch.cuda.is_available() else ON_CPU),
            **arguments,
        }
        try:
            self._llm = _vllm().LLM(model=str(model), **settings)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"vLLM refuses its settings ({str(error).strip().splitlines()[0][:300]}), but the "
                "engine vllm cannot run without it. They are those of the run and, on top of them, "
                "vllm.arguments. Change these, loading.dtype or the model."
            ) from error
        except RuntimeError as error:
            raise failed(self, error) from error
        self._family = _family(set(multiprocessing.active_children()) - before)
        self._guard = _guard(self._family)
        self._adapter, self._numbers = None, count(1)

    def stream(self, requests: Sequence[Request], put: Put) -> None:
        """See `Engine`."""
        engine = self._llm.llm_engine
        for number, request in enumerate(requests):
            prompt = {"prompt_token_ids": list(request.prompt), "cache_salt": request.weights}
            drawn = _parameters(request)
            engine.add_request(str(number), prompt, drawn, lora_request=self._adapter)
        while engine.has_unfinished_requests():
            for output in engine.step():
                for delta in _deltas(output):
                    put(delta)

    def load(self, directory: Path) -> None:
        """See `Engine`."""
        self._adapter = None
        if not is_adapter(directory):
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(directory)})
            return
        from vllm.lora.request import LoRARequest

        # a number of its own, or vLLM would keep what it has; it has room for one
        self._adapter = LoRARequest(directory.name, next(self._numbers), str(directory))
        self._llm.llm_engine.add_lora(self._adapter)

    def close(self) -> None:
        """See `Engine`."""
        import psutil

        stop = self._llm.llm_engine.engine_core.shutdown
        thread = threading.Thread(target=stop, daemon=True)
        thread.start()
        thread.join(ENDING)
        self._guard.kill()
        self._guard.communicate()
        for process in self._family:  # one that hangs heeds nothing else
            with suppress(psutil.NoSuchProcess):
                process.kill()


def set_environment() -> None:
    """Variables that vLLM reads when it starts; what the user set stays."""
    wanted = ENVIRONMENT if torch.cuda.is_available() else ENVIRONMENT | ENVIRONMENT_ON_CPU
    for variable, value in wanted.items():
        os.environ.setdefault(variable, value)


def _family(processes: Iterable[BaseProcess]) -> list[Any]:
    """The processes and all that they started, to be known even when a parent is gone."""
    import psutil  # vLLM brings it

    first = [psutil.Process(process.pid) for process in processes]
    return [each for process in first for each in (process, *process.children(recursive=True))]


def _guard(family: Iterable[Any]) -> "subprocess.Popen[bytes]":
    """A shell that ends them when this process is gone, however that came: its input ends then."""
    end = ["sh", "-c", 'read _; kill -9 "$@"', "guard", *(str(process.pid) for process in family)]
    return subprocess.Popen(
        end, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _vllm() -> Any:
    try:
        import vllm
    except ImportError as error:
        raise ConfigurationError(
            f"The engine vllm needs the package vllm, which cannot be imported ({error}). It draws "
            "the responses. Install it with pip install 'jumar[vllm]', or name a server that runs "
            "elsewhere by vllm.server."
        ) from error
    return vllm


def _parameters(request: Request) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    drawn = request.sampling
    return SamplingParams(
        n=request.count,
        temperature=drawn.temperature,
        top_p=drawn.top_p,
        top_k=drawn.top_k,
        seed=request.seed if drawn.temperature > 0.0 else None,
        max_tokens=request.max_tokens,
        ignore_eos=True,  # what ends a response is said here, and by nobody else
        stop_token_ids=list(request.stop_ids),
        logprobs=0,
        prompt_logprobs=0 if request.score_prompt else None,
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
    )


def _deltas(output: Any) -> Iterator[Delta]:
    prompt = zip(output.prompt_token_ids[1:], (output.prompt_logprobs or ())[1:], strict=False)
    scores = [by_token[token].logprob for token, by_token in prompt]
    for part in output.outputs:
        drawn = zip(part.token_ids, part.logprobs, strict=True)
        yield Delta(
            request=int(output.request_id),
            response=part.index,
            token_ids=list(part.token_ids),
            logprobs=[by_token[token].logprob for token, by_token in drawn],
            prompt_logprobs=scores,
            finished=part.finish_reason,
        )
