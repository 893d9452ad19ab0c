"""A STUB of an OpenAI-compatible server: real HTTP in front of a tiny model that transformers runs, faults on order."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

from alma.engines import load_generator
from alma.sections import Inference, Sampling
from tests.builders.asking import generate


@dataclass
class Fault:
    """How a request ends instead: an HTTP status, ``reset``, or a body as it is."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False


@dataclass
class ServerStub:
    """What is served, what goes wrong, and what was seen."""

    folder: Path
    name: str = "served"
    key: str | None = None
    vllm: bool = False
    """Whether vLLM's own fields are understood; else they are refused."""
    max_logprobs: int = 100
    context: int | None = None
    delay: Callable[[], float] = lambda: 0.0
    faults: deque[Fault | None] = field(default_factory=deque)
    """Of the next completions, one each; ``None`` = well."""
    lists: Fault | None = None
    """Of ``/models``."""
    change: Callable[[dict[str, Any]], object] = lambda _: None
    """What to do with an answer before it is sent."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    peak: int = 0

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.in_flight = 0
        self.engine: Any = load_generator(Inference(batch_rows=64), self.folder)

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["model"] != self.name:
            raise LookupError(body["model"])
        standard = {"model", "prompt", "max_tokens", "temperature", "top_p", "seed", "stop", "n", "logprobs"}
        own = {"stop_token_ids", "skip_special_tokens", "spaces_between_special_tokens", "repetition_penalty", "top_k"}
        own |= {"min_p", "logprob_token_ids", "return_tokens_as_token_ids"}
        unknown = set(body) - standard - (own if self.vllm else set())
        if unknown:
            raise ValueError(f"Unrecognized request arguments: {sorted(unknown)}")
        if len(body.get("stop", ())) > 4 and not self.vllm:
            raise ValueError("Too many stop sequences: 4 at most")
        if (body.get("logprobs") or 0) > self.max_logprobs:
            raise ValueError(f"logprobs may be {self.max_logprobs} at most")
        given, tokenizer = body["prompt"], self.engine.tokenizer
        text = given if isinstance(given, str) else tokenizer.decode(given)
        [ids] = self.engine.encode([text])
        assert isinstance(given, str) or ids == given, "these tokens are those of no text"
        with self.lock:
            [[done]] = generate(
                self.engine,
                [text],
                [[body.get("seed", 0)]],
                Sampling(temperature=body["temperature"], top_p=body["top_p"]) if body["temperature"] else None,
                max_new_tokens=body["max_tokens"],
                stop=body.get("stop", ()),
            )
            logprobs = self.logprobs(ids, body) if body.get("logprobs") else None
        choice = {"index": 0, "text": done.text, "finish_reason": "stop" if done.ended else "length"}
        usage = {"prompt_tokens": len(ids), "completion_tokens": done.num_tokens}
        return {"id": "1", "choices": [{**choice, "logprobs": logprobs}], "usage": usage}

    def logprobs(self, ids: list[int], body: dict[str, Any]) -> dict[str, Any]:
        with torch.inference_mode():
            logprobs_V = self.engine.model(torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)
        listed = body.get("logprob_token_ids") or logprobs_V.topk(min(body["logprobs"], len(logprobs_V)))[1].tolist()
        by_id = body.get("return_tokens_as_token_ids")
        named = {f"token_id:{each}" if by_id else self.engine.tokenizer.decode([each]): each for each in listed}
        return {"top_logprobs": [{name: float(logprobs_V[each]) for name, each in named.items()}]}


@contextmanager
def serving(stub: ServerStub) -> Iterator[str]:
    """Serves a stub on a free port; yields the address up to ``/v1``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.allowed():
                model = {"id": stub.name, "object": "model"}
                listed = {**model, "max_model_len": stub.context} if stub.context else model
                self.reply(stub.lists, lambda: {"object": "list", "data": [listed]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/completions":
                return self.send(404, b'{"detail": "Not Found"}')
            if not self.allowed():
                return None
            with stub.lock:
                stub.bodies.append(body)
                stub.in_flight += 1
                stub.peak = max(stub.peak, stub.in_flight)
                fault = stub.faults.popleft() if stub.faults else None
            time.sleep(stub.delay())

            def answer() -> dict[str, Any]:
                done = stub.complete(body)
                stub.change(done)
                return done

            try:
                return self.reply(fault, answer)
            finally:
                with stub.lock:
                    stub.in_flight -= 1

        def allowed(self) -> bool:
            """Answers 401, with the key that was given, as some servers do."""
            given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            if stub.key is None or given == stub.key:
                return True
            self.send(401, json.dumps({"error": {"message": f"Incorrect API key provided: {given}"}}).encode())
            return False

        def reply(self, fault: Fault | None, answer: Callable[[], dict[str, Any]]) -> None:
            if fault is None:
                try:
                    return self.send(200, json.dumps(answer()).encode())
                except LookupError as error:
                    return self.send(404, json.dumps({"error": {"message": f"The model {error} is none"}}).encode())
                except ValueError as error:
                    return self.send(400, json.dumps({"error": {"message": str(error)}}).encode())
            if fault.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.wfile = self.rfile  # nothing is left to flush
                return self.connection.close()
            return self.send(fault.status, fault.body, **fault.headers)

        def send(self, status: int, content: bytes, **headers: str) -> None:
            with suppress(ConnectionError):  # who asked may have gone
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
