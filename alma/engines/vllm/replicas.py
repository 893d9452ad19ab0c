"""Data parallel: an engine per device, or per group of tensor-parallel ones, each in a process of its own.

All are fed from one queue, prompt by prompt, so none waits for another before the queue is empty. What they answer is
put together in the order of the requests; which engine computed what changes nothing but the last bits of logits.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from alma.devices import visible_gpus
from alma.engines.chat import stop_texts
from alma.engines.dialogue import asking
from alma.engines.model_folder import text_config, weight_shapes
from alma.engines.requests import Answered, OnTokens, Request
from alma.engines.tokenizer import load_tokenizer
from alma.engines.vllm.process import Answer, Replica, Verb
from alma.engines.vllm.start import library, num_engines, on_cpu
from alma.prompts import Prompt
from alma.prompts.conversation import Message
from alma.sections import Inference, Scoring

if TYPE_CHECKING:
    from alma.engines.vllm.embed import VllmEmbedder
    from alma.engines.vllm.generate import VllmGenerator
    from alma.engines.vllm.score import VllmScorer


def generator(cfg: Inference, model: Path) -> VllmGenerator | Replicas:
    """The ``Generator`` of ``engine = "vllm"``: one engine in this process, or several in their own."""
    from alma.engines.vllm.generate import VllmGenerator

    return _replicas(cfg, model, "generate") or VllmGenerator(cfg, model)


def scorer(cfg: Scoring, model: Path) -> VllmScorer | Replicas:
    """The ``Scorer`` of ``engine = "vllm"``."""
    from alma.engines.vllm.score import VllmScorer

    return _replicas(cfg, model, "score") or VllmScorer(cfg, model)


def embedder(cfg: Inference, model: Path) -> VllmEmbedder | Replicas:
    """The ``Embedder`` of ``engine = "vllm"``."""
    from alma.engines.vllm.embed import VllmEmbedder

    return _replicas(cfg, model, "embed") or VllmEmbedder(cfg, model)


def _replicas(cfg: Inference, model: Path, verb: Verb) -> Replicas | None:
    library()
    is_cpu = on_cpu()
    count = num_engines(cfg.vllm, model, is_cpu=is_cpu)
    if count == 1:
        return None
    size = cfg.vllm.tensor_parallel
    gpus = [] if is_cpu else visible_gpus()
    devices = [None if is_cpu else ",".join(gpus[place * size : (place + 1) * size]) for place in range(count)]
    return Replicas(cfg.changed(vllm=cfg.vllm.changed(data_parallel=1)), model, verb, devices)


@dataclass(slots=True)
class _Open:
    """A request whose pieces are not all answered."""

    place: int
    request: Request
    answers: dict[int, Any]
    left: int
    num_tokens: int = 0

    def answered(self) -> Answered[Any]:
        answer = self.request.join([self.answers[at] for at in range(len(self.answers))])
        return Answered(self.place, answer, len(self.request), self.num_tokens)


class Replicas:
    """``Generator``, ``Scorer`` or ``Embedder``, as ``verb`` says; ``Swapping`` too.

    ``devices`` are the values of ``CUDA_VISIBLE_DEVICES``, one for each process. A process that fails ends it all with
    its error; one that is killed with ``alma.errors.TransientError``.
    """

    def __init__(self, cfg: Inference, model: Path, verb: Verb, devices: Sequence[str | None]) -> None:
        text_config(model)
        weight_shapes(model)
        self.cfg, self.path = cfg, model
        self.tokenizer = load_tokenizer(model)
        with ExitStack() as stack:
            self.replicas = [stack.enter_context(Replica(cfg, model, verb, device)) for device in devices]
            for replica in self.replicas:  # they start side by side
                replica.expect("ready")
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def chat(self, prompt: str, earlier: Sequence[Message] = ()) -> Prompt:
        """See ``alma.engines.Generator``."""
        return asking(self.tokenizer, prompt, earlier)

    def stops(self, rating_template: str | None = None) -> tuple[str, ...]:
        """See ``alma.engines.Generator``."""
        return stop_texts(self.tokenizer, rating_template)

    def swap(self, model: Path) -> None:
        """See ``alma.engines.pool.Swapping``: all processes at once."""
        if model == self.path:
            return
        for replica in self.replicas:
            replica.swap(model)
        for replica in self.replicas:
            replica.expect("swapped")
        self.path, self.tokenizer = model, load_tokenizer(model)

    def answer(self, requests: Iterable[Request | None], *, on_tokens: OnTokens) -> Iterator[Answered[Any]]:
        """See ``alma.engines.protocols.Engine``. The next prompt goes to the process that has the fewest rows left."""
        room = 2 * self.cfg.batch_rows  # of each process: as many rows wait as run, see VllmModel.answer
        running: dict[int, tuple[_Open, int]] = {}
        pieces, names = self._pieces(requests), itertools.count()
        try:
            while True:
                while (idlest := min(self.replicas, key=lambda each: each.num_rows)).num_rows < room:
                    piece = next(pieces, None)
                    if piece is None:
                        break
                    opened, at, request = piece
                    if request is None:
                        yield opened.answered()
                        continue
                    name = next(names)
                    running[name] = opened, at
                    idlest.ask(name, request)
                if not running:
                    return
                for replica in self._ready():
                    answer: Answer = replica.answer()
                    on_tokens(answer.num_heard)
                    opened, at = running.pop(answer.name)
                    opened.answers[at] = answer.answer
                    opened.num_tokens += answer.num_tokens
                    opened.left -= 1
                    if not opened.left:
                        yield opened.answered()
        finally:
            if running:  # an error or a stop: the processes may be asked again, by others
                for replica in self.replicas:
                    replica.cancel()

    def _ready(self) -> list[Replica]:
        """Those with something to say, a failure too, after a wait for the first."""
        by_connection = {replica.connection: replica for replica in self.replicas}
        return [by_connection[each] for each in wait(list(by_connection))]  # type: ignore[index]

    def _pieces(self, requests: Iterable[Request | None]) -> Iterator[tuple[_Open, int, Request | None] | None]:
        """Every request in pieces that go to one process each; one without any by itself, with ``None``."""
        places = itertools.count()
        for request in requests:
            if request is None:
                yield None
                continue
            pieces: list[Request] = [*request.split(self.cfg.batch_rows)]
            opened = _Open(next(places), request, {}, len(pieces))
            if not pieces:
                yield opened, 0, None
            for at, piece in enumerate(pieces):
                yield opened, at, piece
