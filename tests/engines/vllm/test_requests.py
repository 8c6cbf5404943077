"""How long an engine is waited for, with engines that answer, break and hang."""

import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from jumar.engines.vllm.requests import Delta, Put, Request, answers, within
from jumar.errors import EngineError


class Scripted:
    """An engine that says what it was given, with pauses of so many seconds between."""

    name, room = "vLLM", 100

    def __init__(self, script: Iterable[object], pause: float = 0.0) -> None:
        self.script, self.pause, self.ended = script, pause, threading.Event()

    def stream(self, requests: object, put: Put) -> None:
        for said in self.script:
            self.ended.wait(self.pause)
            if isinstance(said, Exception):
                raise said
            put(said)

    def load(self, directory: Path) -> None:
        self.ended.wait(self.pause)

    def close(self) -> None:
        self.ended.set()


def request(count: int = 1) -> Request:
    return Request(prompt=[1, 2], weights="first", count=count)


def test_deltas_of_several_responses_are_put_together():
    script = [
        Delta(request=1, token_ids=[5], logprobs=[-0.5]),
        Delta(request=0, response=1, token_ids=[7], logprobs=[-0.7], finished="length"),
        Delta(request=1, token_ids=[6, 1], logprobs=[-0.6, -0.1], finished="stop"),
        Delta(request=0, token_ids=[1], logprobs=[-0.2], finished="stop"),
    ]
    [[first, second], [third]] = answers(Scripted(script), [request(2), request()], patience=5)
    assert (first.token_ids, first.truncated) == ([1], False)
    assert (second.token_ids, second.truncated) == ([7], True)
    assert (third.token_ids, third.logprobs, third.truncated) == (
        [5, 6, 1],
        [-0.5, -0.6, -0.1],
        False,
    )


def test_a_slow_engine_is_waited_for_as_long_as_tokens_come():
    script = [Delta(request=0, token_ids=[5], logprobs=[-0.5])] * 5
    script.append(Delta(request=0, finished="stop"))
    [[answer]] = answers(Scripted(script, pause=0.1), [request()], patience=0.3)
    assert len(answer.token_ids) == 5


def test_an_engine_that_hangs_is_given_up():
    engine = Scripted([Delta(request=0, token_ids=[5], logprobs=[-0.5])] * 2, pause=60)
    with pytest.raises(EngineError, match=r"no sign for 0 seconds.*--resume.*raise vllm\.patience"):
        answers(engine, [request()], patience=0.1)
    with pytest.raises(EngineError, match="It hangs"):
        within(engine, 0.1, lambda: engine.load(Path()))
    engine.close()


def test_an_engine_that_dies_is_named_with_its_cause():
    script = [Delta(request=0, token_ids=[5], logprobs=[-0.5]), ConnectionResetError("by peer")]
    with pytest.raises(
        EngineError, match=r"vLLM failed \(ConnectionResetError: by peer\).*--resume"
    ):
        answers(Scripted(script), [request()], patience=5)


def test_a_response_that_vllm_gave_up_is_no_response():
    script = [Delta(request=0, token_ids=[5], logprobs=[-0.5], finished="abort")]
    with pytest.raises(EngineError, match="ended with 'abort'"):
        answers(Scripted(script), [request()], patience=5)
