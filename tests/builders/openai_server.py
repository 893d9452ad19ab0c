"""A STUB of an OpenAI-compatible server: real HTTP in front of a tiny model that transformers runs, faults on order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from alma.engines import load_generator
from alma.sections import Inference, Sampling
from tests.builders.asking import generate
from tests.builders.serving import Fault, Served, serving

__all__ = ["Fault", "ServerStub", "serving"]


@dataclass
class ServerStub(Served):
    """A model of this machine, behind ``/completions``."""

    path = "/v1/completions"

    folder: Path
    vllm: bool = False
    """Whether vLLM's own fields are understood; else they are refused."""
    max_logprobs: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
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
