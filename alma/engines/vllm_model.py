"""Starts vLLM on a model's folder: what the three ``vllm`` engines share.

Axes: P texts, T tokens. Only safetensors are read and no code from the folder is run.

On a CPU the engine runs in this process, eagerly: three processes and compilation cost half a minute at every start
and gain little there. On GPUs it is vLLM's usual arrangement.
"""

from __future__ import annotations

import gc
import itertools
import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from alma.devices import check_gpus
from alma.engines.chat import encode_known, load_tokenizer
from alma.engines.vllm_pool import can_swap, text_config, weight_shapes
from alma.errors import ConfigError, DataError, StageError
from alma.sections import Inference, Vllm

log = logging.getLogger(__name__)

GIB = 2**30
_NUMBERS = itertools.count()
"""Names of requests; vLLM wants each of them once."""
_LIVE: set[VllmModel] = set()
"""Engines that are not closed."""
_CLOSED: list[Any] = []
"""``vllm.LLM``s that wait for the last engine of this process: they share its communication groups, which the shutdown
of one takes from all."""


def library() -> Any:
    """The module ``vllm``. Raises ``ConfigError`` where it is not installed."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        with _quiet():
            return import_module("vllm")
    except ImportError as error:
        raise ConfigError(
            f"engine = 'vllm' needs vLLM, and it cannot be imported here ({error}): use an image made from "
            "images/vllm, install what images/vllm/gpu.lock or cpu.lock names, or set engine = 'hf'"
        ) from error


def check_devices(settings: Vllm, model: Path) -> bool:
    """Whether vLLM runs on this machine's CPU; before any weights are read.

    Raises ``ConfigError`` for GPUs that are not there, or a ``tensor_parallel`` that the model or a CPU cannot have.
    """
    platform = import_module("vllm.platforms").current_platform
    wanted = settings.tensor_parallel
    if platform.is_cpu():
        if wanted > 1:
            raise ConfigError(
                f"vllm.tensor_parallel = {wanted} asks for as many GPUs, and this vLLM is built for the CPU; set it to "
                "1"
            )
        return True
    check_gpus(wanted)
    heads = getattr(text_config(model), "num_attention_heads", wanted)
    if heads % wanted:
        raise ConfigError(
            f"vllm.tensor_parallel = {wanted} does not divide the {heads} attention heads of {model}; take a divisor"
        )
    return False


class VllmModel:
    """A live engine, its model and its tokenizer; leave the ``with`` block and their memory is given back.

    Raises ``alma.errors.ConfigError`` where the machine, the memory or a setting does not fit the model and
    ``alma.errors.DataError`` where the folder holds no model that vLLM knows.
    """

    def __init__(self, cfg: Inference, model: Path, **options: Any) -> None:
        """``options`` are arguments of ``vllm.LLM`` that differ between generation and embedding."""
        self.cfg = cfg
        self.options = options
        self.vllm = library()
        self.is_cpu = check_devices(cfg.vllm, model)
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

    def encode(self, texts_P: Sequence[str]) -> list[list[int]]:
        """See ``alma.engines.chat.encode_known``."""
        return encode_known(self.tokenizer, texts_P, self.num_ids, self.path)

    def finished(self, requests: Iterable[tuple[list[int], Any]]) -> Iterator[tuple[int, Any]]:
        """Runs (token ids, parameters) together; yields the place and the output of each as it ends."""
        engine = self.llm.llm_engine
        places: dict[str, int] = {}
        try:
            for place, (ids, params) in enumerate(requests):
                name = str(next(_NUMBERS))
                engine.add_request(name, {"prompt_token_ids": ids}, params)
                places[name] = place
            while engine.has_unfinished_requests():
                with _eager(self.is_cpu):
                    outputs = engine.step()
                for output in outputs:
                    if output.finished:
                        yield places.pop(output.request_id), output
            assert not places, f"vLLM lost {len(places)} requests"
        finally:
            if places:  # an error or a stop: the engine may be asked again, by others
                engine.abort_request(list(places))

    def swap(self, model: Path) -> None:
        """Goes on with the model in folder ``model``, its weights put in place of the present ones.

        Where the platform cannot, by a fresh engine. Another architecture or tokenizer raises ``DataError``.
        """
        if model == self.path:
            return
        if can_swap(self.path, model) and self._swaps:
            try:
                with _quiet(), _eager(self.is_cpu):
                    self.llm.collective_rpc("swap_weights", args=(str(model),))
                    reset = self.llm.reset_prefix_cache()
            except Exception as error:  # noqa: BLE001 - whatever it was, a fresh engine mends it or says it again
                log.warning("vLLM cannot swap weights in place here and is started again for each: %r", error)
                self._swaps = False
            else:
                assert reset, "requests were still running at a swap: their cache is of the weights before"
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
        with _quiet(), _eager(self.is_cpu), _in_process(self.is_cpu):
            try:
                self.llm = self.vllm.LLM(str(model), **_arguments(self.cfg, self.is_cpu), **self.options)
            except (OSError, ValueError, KeyError, RuntimeError, AssertionError) as error:
                raise _refusal(self.cfg, model, error) from error
        _LIVE.add(self)
        self.context: int = self.llm.model_config.max_model_len

    def _close(self) -> None:
        if self not in _LIVE:  # a swap failed to start its fresh engine
            return
        _LIVE.remove(self)
        _CLOSED.append(self.llm)
        del self.llm
        with _quiet():
            while _CLOSED and not (self.is_cpu and _LIVE):
                _CLOSED.pop().llm_engine.engine_core.shutdown()
            gc.collect()


def _arguments(cfg: Inference, is_cpu: bool) -> dict[str, Any]:
    settings = cfg.vllm
    kv_cache_gib = settings.kv_cache_gib or (1.0 if is_cpu else None)
    return {
        "dtype": cfg.dtype if cfg.dtype != "auto" else ("float32" if is_cpu else "bfloat16"),
        "tensor_parallel_size": settings.tensor_parallel,
        "gpu_memory_utilization": settings.gpu_memory_share,
        # A number of bytes also spares vLLM's check of free memory, which on a CPU counts what others use.
        "kv_cache_memory_bytes": None if kv_cache_gib is None else int(kv_cache_gib * GIB),
        "max_model_len": settings.max_model_len,
        "max_num_seqs": cfg.batch_rows,
        "enforce_eager": is_cpu if settings.enforce_eager is None else settings.enforce_eager,
        "generation_config": "vllm",  # its end tokens are read by us, its sampling defaults by nobody
        "load_format": "safetensors",
        "trust_remote_code": False,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        "worker_extension_cls": "alma.engines.vllm_worker.SwapWorker",
    }


def _refusal(cfg: Inference, model: Path, error: Exception) -> Exception:
    """What a failed start means. vLLM says everything by ``ValueError``, or in the log of another process."""
    text = str(error)
    if "Engine core initialization failed" in text:
        return StageError(f"vLLM did not start with {model}; the cause is in the log above: {text}")
    if "memory" in text.lower() or "KV cache" in text:
        return ConfigError(
            f"vLLM does not fit with {model}: {text}\nLower vllm.max_model_len or batch_rows, or change "
            f"vllm.gpu_memory_share = {cfg.vllm.gpu_memory_share} or vllm.kv_cache_gib = {cfg.vllm.kv_cache_gib}"
        )
    if "max_model_len" in text:
        return ConfigError(f"vllm.max_model_len = {cfg.vllm.max_model_len} does not fit {model}: {text}")
    return DataError(
        f"vLLM cannot load {model} as a causal language model from safetensors without code of its own: "
        f"{type(error).__name__}: {text}"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps remarks of vLLM and of what it imports (deprecations, a missing Triton) off the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _eager(is_cpu: bool) -> Iterator[None]:
    """On a CPU nothing is compiled: the first log-probability alone would cost ten seconds of compilation."""
    if not is_cpu:
        yield
        return
    import torch

    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def _in_process(is_cpu: bool) -> Iterator[None]:
    """While an engine starts on a CPU: in this process, and not bound to cores that other pods may be bound to too."""
    wanted = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"} if is_cpu else {}
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]
