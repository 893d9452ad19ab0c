"""Generation by a served model: ``OpenaiGenerator``.

Not covered: what the server draws with a seed is its own (some ignore it). Without ``extensions = "vllm"`` the server
alone knows what ends a turn and which sampling defaults of its own it adds, and a special token that ends nothing is
not seen, so that a text goes on behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alma.engines.answering import OneByOne
from alma.engines.chat import check_stop_texts, stop_texts
from alma.engines.continuation import answer_of, before_first
from alma.engines.dialogue import asking
from alma.engines.openai.http import few_levels, tokens_of
from alma.engines.openai.model import ServedModel
from alma.engines.requests import TOO_LONG, Completion, GenerateRequest, OnTokens
from alma.engines.tokenizer import special_texts, stop_ids
from alma.errors import ConfigError
from alma.prompts import Prompt
from alma.prompts.conversation import Message
from alma.sections import Inference, Sampling, Scoring

_SEED_BITS = 2**63 - 1
"""Seeds of these servers are signed; ours are 64 bits. The same as those of ``vllm``."""
_MOST_STOPS = 4
"""Stop texts that OpenAI's API takes; behind a further one a text is cut, after it was paid for."""
_ENDS = {"stop": True, "length": False, "content_filter": False}
"""``finish_reason`` → whether the text ended by itself."""


def check_pool(folders: Sequence[Path]) -> None:
    """Raises ``ConfigError``: several checkpoints cannot be one served model."""
    raise ConfigError(
        f"engine = 'openai' cannot sample a pool of {len(folders)} checkpoints: an endpoint serves one model under one "
        "name; take engine = 'vllm' or 'hf', or sample each checkpoint in a run of its own"
    )


class OpenaiGenerator(ServedModel, OneByOne[GenerateRequest, list[list[Completion]]]):
    """``alma.engines.Generator`` over ``/completions``: one request per sample, with the sample's own seed.

    The prompt is rendered here, by the template and tokenizer in the model's folder, as ``hf`` and ``vllm`` do. Raises
    ``ConfigError`` for a stage that needs a second model.
    """

    def __init__(self, cfg: Inference, model: Path) -> None:
        if isinstance(cfg, Scoring):
            raise ConfigError(
                "engine = 'openai' cannot run a stage in which one model answers and another one scores (evaluate, "
                "imitate): one endpoint serves one model; take engine = 'vllm' or 'hf'"
            )
        super().__init__(cfg, model)
        try:
            self.special = special_texts(self.tokenizer)
            self.end_ids = sorted(stop_ids(model, self.tokenizer))
            # Before work starts: what the server does not take, and a name that it does not know.
            ids = self.encode(["1"])[0]
            self._completion(self.endpoint.complete(self._body(self.prompt("1", ids), None, 0, 1, ())), ())
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def chat(self, prompt: str, earlier: Sequence[Message] = ()) -> Prompt:
        """See ``alma.engines.Generator``. A model without a (working) chat template raises ``DataError``."""
        return asking(self.tokenizer, prompt, earlier)

    def stops(self, rating_template: str | None = None) -> tuple[str, ...]:
        """See ``alma.engines.Generator``."""
        return stop_texts(self.tokenizer, rating_template)

    def answer_one(self, request: GenerateRequest, on_tokens: OnTokens) -> list[list[Completion]]:
        """See ``alma.engines.OneByOne``. ``on_tokens`` hears of a sample when it and all before it ended."""
        sampling, stop = request.sampling, request.stop
        assert not (sampling and sampling.no_repeat_ngram_size), "refused by Inference: no endpoint has such a ban"
        if sampling is not None and sampling.repetition_penalty != 1.0 and not self.extended:
            raise ConfigError(
                f"sampling.repetition_penalty = {sampling.repetition_penalty} is not in OpenAI's API: set it to 1, "
                "or openai.extensions = 'vllm' where the server has it"
            )
        check_stop_texts(stop)
        ids_PT = self.encode(request.texts_P)
        limits_P = [
            request.max_new_tokens if self.context is None else min(request.max_new_tokens, self.context - len(ids))
            for ids in ids_PT
        ]
        bodies = [
            self._body(self.prompt(text, ids), sampling, seed, limit, stop)
            for text, ids, limit, seeds in zip(request.texts_P, ids_PT, limits_P, request.seeds_PN, strict=True)
            for seed in (seeds if limit > 0 else ())
        ]
        texts = [
            text
            for text, limit, seeds in zip(request.texts_P, limits_P, request.seeds_PN, strict=True)
            for _ in (seeds if limit > 0 else ())
        ]
        found: list[Completion] = []

        def then(place: int, told: dict[str, Any]) -> None:
            found.append(answer_of(self._completion(told, stop), texts[place], self.special))
            on_tokens(found[-1].num_tokens)

        self.endpoint.complete_all(bodies, then)
        completions = iter(found)
        return [
            [next(completions) if limit > 0 else TOO_LONG for _ in seeds]
            for limit, seeds in zip(limits_P, request.seeds_PN, strict=True)
        ]

    def _body(
        self, prompt: list[int] | str, sampling: Sampling | None, seed: int, limit: int, stop: Sequence[str]
    ) -> dict[str, Any]:
        body: dict[str, Any] = {"prompt": prompt, "max_tokens": limit}
        if sampling is None:
            body["temperature"] = 0.0
        else:
            body |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": seed & _SEED_BITS}
        if stop:  # the others are found in what it returns
            body["stop"] = list(stop) if self.extended else list(stop)[:_MOST_STOPS]
        if self.extended:
            body |= {
                "stop_token_ids": self.end_ids,
                "skip_special_tokens": False,
                "spaces_between_special_tokens": False,
                # Else a server takes the values that the model's folder recommends.
                "repetition_penalty": 1.0 if sampling is None else sampling.repetition_penalty,
                "top_k": 0,
                "min_p": 0.0,
            }
        return body

    def _completion(self, told: dict[str, Any], stop: Sequence[str]) -> Completion:
        text, reason, usage = told.get("text"), told.get("finish_reason"), told.get("usage")
        num_tokens = tokens_of(usage, "completion_tokens")
        if not isinstance(text, str) or num_tokens is None or not isinstance(reason, str) or reason not in _ENDS:
            fields = {"text": type(text).__name__, "finish_reason": reason, "usage": usage}
            raise self.endpoint.refusal(
                f"answers otherwise than OpenAI does: {self.endpoint.shown(few_levels(fields))}"
            )
        text = text.encode("utf-8", "replace").decode()  # JSON may spell halves of characters
        cut = before_first(text, stop)
        return Completion(text if cut is None else cut, num_tokens, _ENDS[reason] or cut is not None)
