"""Generation with vLLM: ``VllmGenerator``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alma.engines.chat import check_stop_texts, stop_texts
from alma.engines.continuation import answer_of, before_first, continuations
from alma.engines.dialogue import asking
from alma.engines.requests import TOO_LONG, Completion, GenerateRequest
from alma.engines.tokenizer import special_texts, stop_ids
from alma.engines.vllm.model import Sequences, VllmModel
from alma.prompts import Prompt
from alma.prompts.conversation import Message
from alma.sections import Inference, Sampling

_SEED_BITS = 2**63 - 1
"""vLLM's seeds are signed and -1 is none at all; ours are 64 bits."""


class VllmGenerator(VllmModel):
    """``alma.engines.Generator`` over vLLM, ``Swapping`` too.

    Every sample is a request with its own seed; what the samples of a prompt share is computed once by prefix caching.
    The tokens drawn are not those of ``hf`` (greedy ones are). A row ends as with ``hf``.
    """

    def __init__(self, cfg: Inference, model: Path) -> None:
        super().__init__(cfg, model, enable_prefix_caching=cfg.vllm.prefix_caching)

    def chat(self, prompt: str, earlier: Sequence[Message] = ()) -> Prompt:
        """See ``alma.engines.Generator``. A model without a (working) chat template raises ``DataError``."""
        return asking(self.tokenizer, prompt, earlier)

    def stops(self, rating_template: str | None = None) -> tuple[str, ...]:
        """See ``alma.engines.Generator``."""
        return stop_texts(self.tokenizer, rating_template)

    def sequences(self, request: GenerateRequest) -> Sequences:
        """One for every sample of every text that leaves room in the context; its tokens are heard of when it ends."""
        check_stop_texts(request.stop)
        ids_PT = self.encode(request.texts_P)
        ends = sorted(stop_ids(self.path, self.tokenizer))
        fits = [len(ids) < self.context for ids in ids_PT]
        samples = [(place, seed) for place, seeds in enumerate(request.seeds_PN) if fits[place] for seed in seeds]
        limits = [min(request.max_new_tokens, self.context - len(ids)) for ids in ids_PT]
        inputs = [
            (ids_PT[place], self._params(request.sampling, seed, request.stop, ends, limits[place]))
            for place, seed in samples
        ]

        def answers(outputs: list[Any]) -> list[list[Completion]]:
            before = [ids_PT[place][-1] for place, _ in samples]
            tokens = [list(output.outputs[0].token_ids) for output in outputs]
            wholes = self._completions(before, tokens, set(ends), request.stop) if outputs else []
            special = special_texts(self.tokenizer)
            found = (
                answer_of(whole, request.texts_P[place], special)
                for whole, (place, _) in zip(wholes, samples, strict=True)
            )
            return [
                [next(found) if fit else TOO_LONG for _ in seeds]
                for fit, seeds in zip(fits, request.seeds_PN, strict=True)
            ]

        return Sequences(inputs, answers, _num_new, lambda outputs: sum(map(_num_new, outputs)))

    def _params(self, sampling: Sampling | None, seed: int, stop: Sequence[str], ends: list[int], limit: int) -> Any:
        assert not (sampling and sampling.no_repeat_ngram_size), "refused by Inference: vLLM has no such ban"
        drawn = (
            {"temperature": 0.0}
            if sampling is None
            else {
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "repetition_penalty": sampling.repetition_penalty,
                "seed": seed & _SEED_BITS,
            }
        )
        return self.vllm.SamplingParams(
            **drawn,
            max_tokens=limit,
            stop=list(stop),
            stop_token_ids=ends,
            detokenize=bool(stop),  # only to find stop texts: the text itself is decoded as hf does it
            skip_special_tokens=False,
            spaces_between_special_tokens=False,
            output_kind=self.vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )

    def _completions(
        self, before_B: Sequence[int], tokens_BT: Sequence[list[int]], ends: set[int], stop: Sequence[str]
    ) -> list[Completion]:
        ended_B = [ids[-1] in ends for ids in tokens_BT]
        kept_BT = [ids[:-1] if ended else ids for ids, ended in zip(tokens_BT, ended_B, strict=True)]
        completions = []
        for text, ids, ended in zip(continuations(self.tokenizer, before_B, kept_BT), tokens_BT, ended_B, strict=True):
            cut = before_first(text, stop)
            completions.append(Completion(text if cut is None else cut, len(ids), ended or cut is not None))
        return completions


def _num_new(output: Any) -> int:
    """Tokens of a sample, its end token included."""
    return len(output.outputs[0].token_ids)
