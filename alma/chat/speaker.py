"""A model with all that it was asked and has answered: ``Speaker``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from alma.chat.settings import Settings
from alma.engines import Completion, GenerateRequest, Streamer
from alma.errors import DataError
from alma.prompts.conversation import Message, column, exchanges
from alma.seeds import sample_seed

End = Literal["ended", "limit", "context", "marker", "stopped"]
"""Why an answer is over: by itself; the most new tokens; a full context; a special token that was spelt; a person."""


WHY: dict[End, str] = {
    "limit": "cut off: --max-new-tokens says how long an answer may be",
    "context": "cut off: the model's context is full; /new begins anew",
    "marker": "ended where it wrote a special token",
    "stopped": "stopped",
}
"""What a person is told of an end that is none of the model's own."""


class Answer(NamedTuple):
    """What a model said to one prompt."""

    prompt: str
    text: str
    num_tokens: int
    end: End


@dataclass(slots=True)
class Speaker:
    """One model and its side of the conversation."""

    name: str
    engine: Streamer
    settings: Settings
    answers: list[Answer] = field(default_factory=list)

    def text(self, prompt: str, system: str | None) -> str:
        """What the model reads to answer ``prompt``. Raises ``DataError`` where its template cannot write that."""
        turns = self._turns(system)
        try:
            return self.engine.chat(prompt, turns)
        except DataError as error:
            if not turns:
                raise
            told = (
                "a system turn; /system without a text goes on without one"
                if len(turns) == 1
                else "these earlier turns; /new asks the next prompt alone"
            )
            raise DataError(f"{self.name}: its chat template does not write {told}") from error

    def has_room(self, text: str) -> bool:
        """Whether the context leaves a token for an answer."""
        return self.engine.room(text) != 0

    def stream(self, text: str, attempt: int) -> Iterator[Completion]:
        """The answer to ``text`` as it grows. Another ``attempt`` at the same turn is another answer."""
        seed = sample_seed(self.settings.seed, "chat", len(self.answers), attempt)
        stop = self.engine.stops()
        wanted = self.settings
        return self.engine.stream(GenerateRequest([text], [[seed]], wanted.sampling, wanted.max_new_tokens, stop))

    def keep(self, prompt: str, text: str, said: Completion, *, stopped: bool) -> Answer:
        """Makes the answer a part of the conversation."""
        answer = Answer(prompt, said.text, said.num_tokens, self._end(text, said, stopped=stopped))
        self.answers.append(answer)
        return answer

    def _end(self, text: str, said: Completion, *, stopped: bool) -> End:
        if said.ended or stopped:
            return "ended" if said.ended else "stopped"
        if said.num_tokens >= self.settings.max_new_tokens:
            return "limit"
        return "context" if self.engine.room(text) == said.num_tokens else "marker"

    def messages(self, system: str | None) -> list[dict[str, str]]:
        """The conversation in OpenAI's form."""
        return column(self._turns(system)) or []

    def _turns(self, system: str | None) -> tuple[Message, ...]:
        first = () if system is None else (Message("system", system),)
        return first + exchanges((each.prompt, each.text) for each in self.answers)
