"""A vLLM server behind an address: its completions over HTTP, its weights through shared files.

Of the server this uses `GET /v1/models`, `POST /v1/completions` with the fields that vLLM adds to
OpenAI's (`return_token_ids`, `cache_salt`, `stop_token_ids`, ...), `/v1/load_lora_adapter` and
`/v1/unload_lora_adapter`, and `POST /collective_rpc`, which a server has in its development mode
only. `python -m jumar.engines.vllm` starts one so.
"""

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any
from urllib.parse import urlsplit

from jumar.engines.local.adapter_files import is_adapter
from jumar.engines.vllm.requests import Delta, Put, Request, within
from jumar.errors import ConfigurationError

CONNECT = 10.0  # seconds
AT_ONCE = 256  # requests; vLLM queues what it cannot run
START = "python -m jumar.engines.vllm MODEL"


class Server:
    """An engine that somebody started."""

    def __init__(self, address: str, *, patience: float) -> None:
        self.name, self._address = f"The vLLM server {address}", urlsplit(address)
        self._open: set[HTTPConnection] = set()
        within(self, patience, self._ask_about_model)

    def _ask_about_model(self) -> None:
        try:
            with self._answer("GET", "/v1/models") as response:
                card = json.load(response)["data"][0]
        except (OSError, ValueError, LookupError) as error:
            raise ConfigurationError(
                f"{self.name} does not answer as one ({type(error).__name__}), but vllm.server "
                f"names it. It has to run before the training begins. Start it with {START}, or "
                "correct the address."
            ) from error
        self._model, self.room = card["id"], card["max_model_len"]
        self._asked = self._model  # or the adapter that is in use

    def stream(self, requests: Sequence[Request], put: Put) -> None:
        """See `Engine`."""
        todo = deque(enumerate(requests))

        def work() -> None:
            with suppress(IndexError):  # nothing is left to do
                while True:
                    number, request = todo.popleft()
                    try:
                        self._complete(number, request, put)
                    except Exception as error:
                        todo.clear()
                        put(error)

        for _ in range(min(len(requests), AT_ONCE)):
            threading.Thread(target=work, daemon=True).start()

    def load(self, directory: Path) -> None:
        """See `Engine`."""
        before, self._asked = self._asked, self._model
        if is_adapter(directory):
            self._asked = directory.name
            body = {"lora_name": self._asked, "lora_path": str(directory)}
            self._post("/v1/load_lora_adapter", body)
        else:
            body = {"weights_path": str(directory)}
            self._post("/collective_rpc", {"method": "reload_weights", "kwargs": body})
        if before != self._model:
            self._post("/v1/unload_lora_adapter", {"lora_name": before})

    def _post(self, path: str, body: Mapping[str, Any]) -> None:
        with self._answer("POST", path, body) as response:
            response.read()

    def close(self) -> None:
        """See `Engine`."""
        for connection in list(self._open):
            with suppress(OSError, AttributeError):  # closed by the thread that has it
                connection.sock.shutdown(SHUT_RDWR)

    def _complete(self, number: int, request: Request, put: Put) -> None:
        with self._answer("POST", "/v1/completions", self._body(request)) as response:
            if request.score_prompt:
                put(_scored(number, request, json.load(response)["choices"][0]))
                return
            for line in response:
                data = line.decode().removeprefix("data: ").strip()
                if data == "[DONE]":
                    return
                if data:
                    for choice in _checked(json.loads(data))["choices"]:
                        put(_delta(number, choice))
            raise ConnectionError("the stream broke off")

    def _body(self, request: Request) -> dict[str, Any]:
        drawn = request.sampling
        return {
            "model": self._asked,
            "prompt": list(request.prompt),
            "n": request.count,
            "temperature": drawn.temperature,
            "top_p": drawn.top_p,
            "top_k": drawn.top_k,
            "min_p": 0.0,  # or the model's own would be taken, as for the penalty
            "repetition_penalty": 1.0,
            "seed": request.seed if drawn.temperature > 0.0 else None,
            "max_tokens": request.max_tokens,
            "ignore_eos": True,  # what ends a response is said here, and by nobody else
            "stop_token_ids": list(request.stop_ids),
            "logprobs": 0,
            "prompt_logprobs": 0 if request.score_prompt else None,
            "return_token_ids": True,
            "cache_salt": request.weights,
            "stream": not request.score_prompt,
        }

    @contextmanager
    def _answer(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Iterator[HTTPResponse]:
        """An answer with status 200. How long it may take is the affair of who waits for it."""
        kind = HTTPSConnection if self._address.scheme == "https" else HTTPConnection
        # neither a proxy nor a redirection is followed
        connection = kind(self._address.hostname or "", self._address.port, timeout=CONNECT)
        self._open.add(connection)
        try:
            connection.connect()
            connection.sock.settimeout(None)
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                raise _refused(self.name, path, response)
            yield response
        finally:
            self._open.discard(connection)
            connection.close()


def _refused(name: str, path: str, response: HTTPResponse) -> Exception:
    words = response.read(2000).decode(errors="replace").strip()[:300]
    if response.status in (403, 404) or path == "/v1/load_lora_adapter":
        return ConfigurationError(
            f"{name} refuses {path} (HTTP {response.status}: {words}), but the run needs it to "
            f"exchange weights. It was not started for that. Start it with {START}, and for a run "
            "with LoRA with --lora-rank, too."
        )
    return RuntimeError(f"HTTP {response.status} from {path}: {words}")


def _checked(chunk: dict[str, Any]) -> dict[str, Any]:
    if "error" in chunk:
        raise RuntimeError(str(chunk["error"])[:300])
    return chunk


def _delta(number: int, choice: Mapping[str, Any]) -> Delta:
    token_ids = choice["token_ids"] or []
    return Delta(
        request=number,
        response=choice["index"],
        token_ids=token_ids,
        logprobs=choice["logprobs"]["token_logprobs"] if token_ids else (),
        finished=choice["finish_reason"],
    )


def _scored(number: int, request: Request, choice: Mapping[str, Any]) -> Delta:
    scores = zip(request.prompt[1:], choice["prompt_logprobs"][1:], strict=True)
    return Delta(
        request=number,
        prompt_logprobs=[by_token[str(token)]["logprob"] for token, by_token in scores],
        finished="length",
    )
