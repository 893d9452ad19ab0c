"""A checkpoint as the library asks it: by transformers, or by vLLM. Only safetensors are read, and no code is run."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from alma.engines.lm_eval.library import library, quiet
from alma.engines.ways import ways_of
from alma.sections import Inference

HF = "lm_eval.models.huggingface"
VLLM = "lm_eval.models.vllm_causallms"


def hf_model(cfg: Inference, model: Path) -> Any:
    """The library's ``HFLM`` on one device. Rows that may not lie side by side are asked one by one."""
    from alma.engines.hf.memory import device_here, dtype_on
    from alma.engines.hf.model import load_model

    device = device_here()
    _, loaded = load_model(model, dtype_on(device, cfg))
    ways = ways_of(model)
    with quiet():
        return library(HF).HFLM(
            pretrained=loaded.to(device),
            tokenizer=str(model),
            backend="causal",
            batch_size=cfg.batch_rows if ways.left and ways.right else 1,
            trust_remote_code=False,
        )


def vllm_model(cfg: Inference, model: Path) -> Any:
    """The library's ``VLLM``, with vLLM's settings as for every other stage."""
    from alma.engines.vllm import start

    start.library()
    is_cpu = start.on_cpu()
    start.num_engines(cfg.vllm, model, is_cpu=is_cpu)
    given = {name: value for name, value in start.arguments(cfg, is_cpu=is_cpu).items() if value is not None}
    del given["worker_extension_cls"]  # weights are not swapped here
    with quiet(), start.eager(is_cpu), start.in_process(is_cpu):
        try:
            return library(VLLM).VLLM(pretrained=str(model), batch_size="auto", **given)
        except (OSError, ValueError, KeyError, RuntimeError, AssertionError) as error:
            raise start.refusal(cfg, model, error) from error


def release(lm: Any) -> None:
    """Gives its memory back."""
    import torch

    engine = getattr(getattr(lm, "model", None), "llm_engine", None)
    if engine is not None:
        engine.engine_core.shutdown()
    for name in ("_model", "model"):
        vars(lm).pop(name, None)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def heard(name: str, on_requests: Callable[[int], None]) -> Iterator[None]:
    """Within it the library draws no bars, and those of its module ``name`` tell ``on_requests`` what they count."""
    drawn: Any = library(name).__dict__["tqdm"]

    class Bar(drawn):  # type: ignore[misc]
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options | {"disable": True})

        def update(self, n: float | None = 1) -> None:
            on_requests(int(n or 0))

    with ExitStack() as stack:
        for module in (name, "lm_eval.api.task", "lm_eval.api.model"):
            stack.enter_context(_replaced(library(module).__dict__, "tqdm", Bar))
        yield


@contextmanager
def _replaced(names: dict[str, Any], name: str, value: Any) -> Iterator[None]:
    before = names[name]
    names[name] = value
    try:
        yield
    finally:
        names[name] = before
