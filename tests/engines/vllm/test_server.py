"""What is sent over HTTP, and what comes of answers that are wrong, broken or late."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jumar.engines.local.sampler import Sampling
from jumar.engines.vllm.requests import Request, answers, within
from jumar.engines.vllm.server import Server
from jumar.errors import ConfigurationError, EngineError

CARD = {"data": [{"id": "the model", "max_model_len": 113}]}
REQUEST = Request(
    prompt=[7, 8], weights="run-3", sampling=Sampling(temperature=0.7, top_k=20, top_p=0.9),
    count=2, max_tokens=5, stop_ids=[1], seed=40,
)  # fmt: skip


class StandIn(ThreadingHTTPServer):
    """In the place of vLLM: `reply` writes the answer to a POST."""

    daemon_threads = True

    def __init__(self, reply: Callable[["Handler"], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply, self.asked, self.released = reply, list[tuple[str, Any]](), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(200, json.dumps(CARD).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        self.server.reply(self)

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, *lines: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            data = f"data: {line}\n\n".encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def vllm() -> Iterator[Callable[[Callable[[Handler], None]], StandIn]]:
    started: list[StandIn] = []

    def start(reply: Callable[[Handler], None]) -> StandIn:
        server = StandIn(reply)
        started.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    yield start
    for server in started:
        server.released.set()
        server.shutdown()
        server.server_close()


def chunk(index: int, token_ids: list[int], finish: str | None = None) -> str:
    scores = {"token_logprobs": [-0.5 * token for token in token_ids]}
    choice = {
        "index": index, "token_ids": token_ids, "logprobs": scores if token_ids else None,
        "finish_reason": finish,
    }  # fmt: skip
    return json.dumps({"choices": [choice]})


def complete(handler: Handler) -> None:
    handler.stream(chunk(0, [5]), chunk(1, [6, 1], "stop"), chunk(0, [4], "length"), "[DONE]")
    handler.end()


def test_token_ids_go_in_and_come_out_with_their_logprobs(vllm):
    server = vllm(complete)
    engine = Server(server.url, patience=5)
    [[first, second]] = answers(engine, [REQUEST], patience=5)
    assert (first.token_ids, first.truncated) == ([5, 4], True)
    assert (second.token_ids, second.logprobs, second.truncated) == ([6, 1], [-3.0, -0.5], False)
    assert engine.room == 113


def test_nothing_of_the_distribution_is_left_to_the_servers_defaults(vllm):
    server = vllm(complete)
    answers(Server(server.url, patience=5), [REQUEST], patience=5)
    [(path, body)] = server.asked
    assert path == "/v1/completions"
    assert (body["model"], body["prompt"], body["n"], body["seed"]) == ("the model", [7, 8], 2, 40)
    drawn = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    assert [body[name] for name in drawn] == [0.7, 0.9, 20, 0.0, 1.0]
    assert (body["ignore_eos"], body["stop_token_ids"], body["max_tokens"]) == (True, [1], 5)
    assert body["cache_salt"] == "run-3"


def test_a_prompt_is_scored_without_its_first_token(vllm):
    scores = [None, {"8": {"logprob": -0.25}, "3": {"logprob": -0.1}}]
    content = json.dumps({"choices": [{"prompt_logprobs": scores}]}).encode()
    server = vllm(lambda handler: handler.answer(200, content))
    asked = Request(prompt=[7, 8], weights="run-3", score_prompt=True)
    [[answer]] = answers(Server(server.url, patience=5), [asked], patience=5)
    assert answer.prompt_logprobs == [-0.25]


def test_weights_are_named_by_their_directory(vllm):
    server = vllm(lambda handler: handler.answer(200, b"{}"))
    engine = Server(server.url, patience=5)
    within(engine, 5, lambda: engine.load(Path("/dev/shm/new")))
    body = {"method": "reload_weights", "kwargs": {"weights_path": "/dev/shm/new"}}
    assert server.asked == [("/collective_rpc", body)]


def test_an_adapter_takes_the_place_of_the_last_and_is_asked(vllm, tmp_path):
    server = vllm(complete)
    engine = Server(server.url, patience=5)
    for name in ("run-1", "run-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").touch()
        within(engine, 5, lambda name=name: engine.load(tmp_path / name))
    answers(engine, [REQUEST], patience=5)
    (first, second, last, (_, asked)) = server.asked
    assert first[1] == {"lora_name": "run-1", "lora_path": str(tmp_path / "run-1")}
    assert (second[0], second[1]["lora_name"]) == ("/v1/load_lora_adapter", "run-2")
    assert last == ("/v1/unload_lora_adapter", {"lora_name": "run-1"})
    assert asked["model"] == "run-2"


def test_a_server_without_room_for_adapters_is_refused(vllm, tmp_path):
    (tmp_path / "adapter_config.json").touch()
    server = vllm(lambda handler: handler.answer(500, b"LoRA is not enabled"))
    engine = Server(server.url, patience=5)
    with pytest.raises(ConfigurationError, match=r"LoRA is not enabled.*--lora-rank"):
        within(engine, 5, lambda: engine.load(tmp_path))


def test_a_server_without_the_route_for_weights_is_refused(vllm):
    engine = Server(vllm(lambda handler: handler.answer(404, b"")).url, patience=5)
    with pytest.raises(
        ConfigurationError, match=r"refuses /collective_rpc.*-m jumar\.engines\.vllm"
    ):
        within(engine, 5, lambda: engine.load(Path("/dev/shm/new")))


def test_a_place_where_nobody_answers_is_refused_before_the_run():
    with pytest.raises(ConfigurationError, match=r"ConnectionRefusedError.*python -m jumar"):
        Server("http://127.0.0.1:9", patience=5)


def breaks_off(handler: Handler) -> None:
    handler.stream(chunk(0, [5]))
    handler.close_connection = True


def says_so(handler: Handler) -> None:
    handler.stream(json.dumps({"error": {"message": "EngineCore encountered an issue"}}))
    handler.end()


def is_broken(handler: Handler) -> None:
    handler.answer(500, b"EngineCore encountered an issue")


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (breaks_off, "the stream broke off"),
        (says_so, "EngineCore encountered an issue"),
        (is_broken, "HTTP 500 from /v1/completions: EngineCore encountered"),
    ],
)
def test_a_server_that_breaks_is_named_with_its_cause(vllm, reply, cause):
    engine = Server(vllm(reply).url, patience=5)
    with pytest.raises(EngineError, match=rf"failed \(\w+: .*{cause}.*--resume"):
        answers(engine, [REQUEST] * 3, patience=5)


def test_a_server_that_hangs_is_given_up_and_let_go(vllm):
    left = threading.Event()

    def hang(handler: Handler) -> None:
        handler.stream(chunk(0, [5]))
        handler.rfile.read(1)  # ends when the other side goes
        left.set()

    engine = Server(vllm(hang).url, patience=5)
    with pytest.raises(EngineError, match="It hangs"):
        answers(engine, [REQUEST], patience=0.3)
    engine.close()
    assert left.wait(5)
