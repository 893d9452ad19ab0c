"""A live vLLM engine: what the three ``vllm`` engines share.

Axes: P texts, T tokens. Only safetensors are read and no code from the folder is run.

On a CPU the engine runs in this process, eagerly: three processes and compilation cost half a minute at every start
and gain little there. On GPUs it is vLLM's usual arrangement.
"""

from __future__ import annotations

import gc
import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from alma.engines.encoding import encode_known
from alma.engines.model_folder import text_config, weight_shapes
from alma.engines.requests import Answered, OnTokens, Request
from alma.engines.tokenizer import load_tokenizer
from alma.engines.vllm.pool import can_swap
from alma.engines.vllm.start import arguments, eager, in_process, library, num_engines, on_cpu, quiet, refusal
from alma.sections import Inference

log = logging.getLogger(__name__)

_NAMES = itertools.count()
"""Names of sequences; vLLM wants each of them once."""
_LIVE: set[VllmModel] = set()
"""Engines that are not closed."""
_CLOSED: list[Any] = []
"""``vllm.LLM``s that wait for the last engine of this process: they share its communication groups, which the shutdown
of one takes from all."""


@dataclass(frozen=True, slots=True)
class Sequences:
    """What vLLM has to compute for a request."""

    inputs: Sequence[tuple[list[int], Any]]
    """(token ids, parameters) of each sequence."""

    answer: Callable[[list[Any]], Any]
    """The request's answer, from vLLM's outputs in the order of ``inputs``."""

    heard: Callable[[Any], int]
    """The tokens that were computed for an output."""

    num_tokens: Callable[[list[Any]], int]
    """``Answered.num_tokens``, from all outputs."""


@dataclass(slots=True)
class _Open:
    """A request that is not answered yet."""

    place: int
    num_rows: int
    sequences: Sequences
    outputs: list[Any]
    left: int

    def answered(self) -> Answered[Any]:
        """All outputs are there."""
        outputs = self.outputs
        return Answered(self.place, self.sequences.answer(outputs), self.num_rows, self.sequences.num_tokens(outputs))


class VllmModel(ABC):
    """``alma.engines.Engine``: a live vLLM, its model and tokenizer; the end of the ``with`` block gives memory back.

    Raises ``alma.errors.ConfigError`` where the machine, the memory or a setting does not fit the model and
    ``alma.errors.DataError`` where the folder holds no model that vLLM knows.
    """

    def __init__(self, cfg: Inference, model: Path, **options: Any) -> None:
        """``options`` are arguments of ``vllm.LLM`` that differ between generation and embedding."""
        self.cfg = cfg
        self.options = options
        self.vllm = library()
        self.is_cpu = on_cpu()
        num_engines(cfg.vllm, model, is_cpu=self.is_cpu)
        self._swaps = True
        self.path: Path
        self.llm: Any
        self.tokenizer: Any
        self._start(model)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @abstractmethod
    def sequences(self, request: Any) -> Sequences:
        """What vLLM has to compute for ``request``."""

    def encode(self, texts_P: Sequence[str]) -> list[list[int]]:
        """See ``alma.engines.encoding.encode_known``."""
        return encode_known(self.tokenizer, texts_P, self.num_ids, self.path)

    def answer(self, requests: Iterable[Request | None], *, on_tokens: OnTokens) -> Iterator[Answered[Any]]:
        """See ``alma.engines.protocols.Engine``.

        vLLM always has as many sequences waiting as it runs at once, so that a finished one leaves no gap.
        """
        engine, window = self.llm.llm_engine, 2 * self.cfg.batch_rows
        running: dict[str, tuple[_Open, int]] = {}
        admitted = self._admitted(requests)
        try:
            while True:
                while len(running) < window:
                    each = next(admitted, None)
                    if each is None:  # none at the moment, or none any more
                        break
                    opened, at = each
                    if not opened.left:
                        yield opened.answered()
                        continue
                    name = str(next(_NAMES))
                    ids, params = opened.sequences.inputs[at]
                    engine.add_request(name, {"prompt_token_ids": ids}, params)
                    running[name] = each
                if not running:
                    return
                with eager(self.is_cpu):
                    outputs = engine.step()
                for output in outputs:
                    if output.finished:
                        opened, at = running.pop(output.request_id)
                        on_tokens(opened.sequences.heard(output))
                        opened.outputs[at] = output
                        opened.left -= 1
                        if not opened.left:
                            yield opened.answered()
                assert not running or engine.has_unfinished_requests(), f"vLLM lost {len(running)} sequences"
        finally:
            if running:  # an error or a stop: the engine may be asked again, by others
                engine.abort_request(list(running))

    def _admitted(self, requests: Iterable[Request | None]) -> Iterator[tuple[_Open, int] | None]:
        """Every sequence of every request; a request without any once, by itself."""
        places = itertools.count()
        for request in requests:
            if request is None:
                yield None
                continue
            sequences = self.sequences(request)
            num = len(sequences.inputs)
            opened = _Open(next(places), len(request), sequences, [None] * num, num)
            for at in range(max(1, num)):
                yield opened, at

    def swap(self, model: Path) -> None:
        """Goes on with the model in folder ``model``, its weights put in place of the present ones.

        Where the platform cannot, by a fresh engine. Another architecture or tokenizer raises ``DataError``.
        """
        if model == self.path:
            return
        if can_swap(self.path, model) and self._swaps:
            try:
                with quiet(), eager(self.is_cpu):
                    self.llm.collective_rpc("swap_weights", args=(str(model),))
                    reset = self.llm.reset_prefix_cache()
            except Exception as error:  # noqa: BLE001 - whatever it was, a fresh engine mends it or says it again
                log.warning("vLLM cannot swap weights in place here and is started again for each: %r", error)
                self._swaps = False
            else:
                assert reset, "sequences were still running at a swap: their cache is of the weights before"
                self.path, self.tokenizer = model, load_tokenizer(model)
                return
        self._close()
        self._start(model)

    def _start(self, model: Path) -> None:
        self.path = model
        config = text_config(model)
        weight_shapes(model)  # says what is wrong with a file before vLLM reads the others
        self.tokenizer = load_tokenizer(model)
        self.num_ids: int = config.vocab_size
        with quiet(), eager(self.is_cpu), in_process(self.is_cpu):
            try:
                self.llm = self.vllm.LLM(str(model), **arguments(self.cfg, is_cpu=self.is_cpu), **self.options)
            except (OSError, ValueError, KeyError, RuntimeError, AssertionError) as error:
                raise refusal(self.cfg, model, error) from error
        _LIVE.add(self)
        self.context: int = self.llm.model_config.max_model_len

    def _close(self) -> None:
        if self not in _LIVE:  # a swap failed to start its fresh engine
            return
        _LIVE.remove(self)
        _CLOSED.append(self.llm)
        del self.llm
        with quiet():
            while _CLOSED and not (self.is_cpu and _LIVE):
                _CLOSED.pop().llm_engine.engine_core.shutdown()
            gc.collect()
