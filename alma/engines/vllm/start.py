"""Before vLLM starts: whether it is there, which devices it gets, its arguments; and what its refusals mean."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from alma.devices import check_gpus, count_gpus
from alma.engines.model_folder import text_config
from alma.errors import ConfigError, DataError, StageError
from alma.sections import Inference, Vllm

GIB = 2**30


def library() -> Any:
    """The module ``vllm``. Raises ``ConfigError`` where it is not installed."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        with quiet():
            return import_module("vllm")
    except ImportError as error:
        raise ConfigError(
            f"engine = 'vllm' needs vLLM, and it cannot be imported here ({error}): use an image made from "
            "images/vllm, install what images/vllm/gpu.lock or cpu.lock names, or set engine = 'hf'"
        ) from error


def on_cpu() -> bool:
    """Whether this vLLM is built for the CPU."""
    is_cpu: bool = import_module("vllm.platforms").current_platform.is_cpu()
    return is_cpu


def num_engines(settings: Vllm, model: Path, *, is_cpu: bool) -> int:
    """How many engines this machine's devices are for, each with the whole model; before any weights are read.

    Raises ``ConfigError`` for GPUs that are not there, or a ``tensor_parallel`` that the model or a CPU cannot have.
    """
    wanted = settings.tensor_parallel
    if is_cpu:
        if wanted > 1:
            raise ConfigError(
                f"vllm.tensor_parallel = {wanted} asks for as many GPUs, and this vLLM is built for the CPU; set it to "
                "1"
            )
        return settings.data_parallel or 1
    engines = settings.data_parallel or max(1, count_gpus() // wanted)
    check_gpus(wanted * engines)
    heads = getattr(text_config(model), "num_attention_heads", wanted)
    if heads % wanted:
        raise ConfigError(
            f"vllm.tensor_parallel = {wanted} does not divide the {heads} attention heads of {model}; take a divisor"
        )
    return engines


def arguments(cfg: Inference, *, is_cpu: bool) -> dict[str, Any]:
    """The arguments of ``vllm.LLM`` that all engines share."""
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
        # vLLM 0.32 puts a seeded sample's generator back after a part of a prompt, which a CPU's generator cannot.
        "enable_chunked_prefill": False if is_cpu else None,
        "enforce_eager": is_cpu if settings.enforce_eager is None else settings.enforce_eager,
        "generation_config": "vllm",  # its end tokens are read by us, its sampling defaults by nobody
        "load_format": "safetensors",
        "trust_remote_code": False,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        "worker_extension_cls": "alma.engines.vllm.worker.SwapWorker",
    }


def refusal(cfg: Inference, model: Path, error: Exception) -> Exception:
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
def quiet() -> Iterator[None]:
    """Keeps remarks of vLLM and of what it imports (deprecations, a missing Triton) off the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def eager(is_cpu: bool) -> Iterator[None]:
    """On a CPU nothing is compiled: the first log-probability alone would cost ten seconds of compilation."""
    if not is_cpu:
        yield
        return
    import torch

    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def in_process(is_cpu: bool) -> Iterator[None]:
    """While an engine starts on a CPU: in this process, and not bound to cores that other pods may be bound to too."""
    wanted = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"} if is_cpu else {}
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]
