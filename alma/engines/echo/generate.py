"""A few words for every seed: ``EchoGenerator``."""

from __future__ import annotations

import random
from collections.abc import Sequence

from alma.engines.answering import OneByOne
from alma.engines.echo.model import EchoModel, count_tokens, digest
from alma.engines.requests import Completion, GenerateRequest, OnTokens
from alma.prompts.conversation import Message
from alma.prompts.markers import markers, rating_literals
from alma.sections import Inference

_WORDS = tuple(
    word
    for line in (
        "the a one two three small large red green old new good bright quiet river mountain letter number word city",
        "garden teacher child machine story question answer list name color reason plan write explain compare sort",
        "count add show find describe give make tell translate shorten continue before after without about under with",
    )
    for word in line.split()
)
_UNENDED_SHARE = 0.05


class EchoGenerator(EchoModel[Inference], OneByOne[GenerateRequest, list[list[Completion]]]):
    """``alma.engines.Generator``: a few words by (model, text, seed); one in twenty goes on to the token limit."""

    def chat(self, prompt: str, earlier: Sequence[Message] = ()) -> str:
        """See ``alma.engines.Generator``."""
        before = "".join(f"{turn.role.capitalize()}: {turn.content}\n" for turn in earlier)
        return f"{before}User: {prompt}\nAssistant:"

    def stops(self, rating_template: str | None = None) -> tuple[str, ...]:
        """See ``alma.engines.Generator``."""
        return markers(["\nUser:", "\nAssistant:", *(rating_literals(rating_template) if rating_template else ())])

    def answer_one(self, request: GenerateRequest, on_tokens: OnTokens) -> list[list[Completion]]:
        """See ``alma.engines.OneByOne``."""
        sampling = request.sampling
        style = "greedy" if sampling is None else sampling.model_dump_json(exclude={"max_new_tokens"})
        completions: list[list[Completion]] = []
        for text, seeds in zip(request.texts_P, request.seeds_PN, strict=True):
            named = [digest(self.fingerprint, style, text, "" if sampling is None else str(seed)) for seed in seeds]
            completions.append(
                [_completion(random.Random(each), request.max_new_tokens, request.stop) for each in named]
            )
            on_tokens(sum(each.num_tokens for each in completions[-1]))
        return completions


def _completion(rng: random.Random, max_new_tokens: int, stop: Sequence[str]) -> Completion:
    num_words = rng.randint(3, 14)
    ended = num_words < max_new_tokens and rng.random() >= _UNENDED_SHARE
    words = rng.choices(_WORDS, k=num_words if ended else max_new_tokens)
    text = " ".join(words)
    found = [place for place in map(text.find, stop) if place >= 0]
    if found:
        text = text[: min(found)]
        return Completion(text=text, num_tokens=min(count_tokens(text) + 1, max_new_tokens), ended=True)
    return Completion(text=text, num_tokens=len(words) + ended, ended=ended)
