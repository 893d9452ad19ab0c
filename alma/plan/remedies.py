"""What would fit where something does not: found by the same arithmetic, so that nothing is advised that fails too."""

from __future__ import annotations

from dataclasses import replace

from alma.plan.machine import Machine
from alma.plan.serving import Vllm
from alma.plan.shape import Shape
from alma.plan.size import gb
from alma.plan.training import Training
from alma.sections import Finetune, Inference, Lora

MOST_GPUS = 64
"""GPUs up to which ZeRO-3 is tried."""


def for_training(cfg: Finetune, shape: Shape, machine: Machine, room: float) -> str:
    """Other settings and numbers of GPUs by which the training fits, each with what a GPU would hold."""
    found = []

    def tries(said: str, gpus: int, **changes: object) -> bool:
        asked = cfg.model_copy(update={"num_devices": None, **changes})
        peak = replace(Training.of(asked, shape, replace(machine, gpus=gpus)), micro_rows=1).peak
        if peak <= room:
            found.append(f"{said} ({gb(peak)} of each GPU)")
        return peak <= room

    frugal = {"activation_checkpointing": True}
    if not cfg.activation_checkpointing and cfg.activation_checkpointing is not None:
        tries("activation_checkpointing = true", cfg.num_devices or machine.gpus, **frugal)
    gpus = 2
    while gpus <= MOST_GPUS:
        if tries(f"parallel = 'zero3' on {gpus * machine.nodes} GPUs", gpus, parallel="zero3", **frugal):
            break
        gpus *= 2
    if cfg.adapter is None:
        for parallel in ("auto", "zero3"):
            if parallel == "zero3" and machine.gpus == 1:
                continue
            if tries(
                "adapter = { rank = 16 }" + (", parallel = 'zero3'" if parallel == "zero3" else ""),
                machine.gpus,
                adapter=Lora(),
                parallel=parallel,
                **frugal,
            ):
                break
    if cfg.max_tokens > 1024:
        tries("max_tokens = 1024", cfg.num_devices or machine.gpus, max_tokens=1024, **frugal)
    return _sentence(found, "a smaller model, or GPUs with more memory")


def for_vllm(cfg: Inference, shape: Shape, machine: Machine, models: int) -> str:
    """Other settings by which the engine starts."""
    found = []

    def tries(said: str, **changes: object) -> bool:
        engine = Vllm(cfg.model_copy(update={"vllm": cfg.vllm.model_copy(update=changes)}), shape, machine.gpu_bytes)
        fits = engine.least <= engine.room and engine.at_once >= 1
        if fits:
            found.append(f"{said} ({gb(engine.least)} of {gb(engine.room)})")
        return fits

    longest = Vllm(cfg, shape, machine.gpu_bytes).longest
    for length in (4096, 2048, 1024):
        if length < longest and tries(f"vllm.max_model_len = {length}", max_model_len=length):
            break
    most = 0.9 / models
    if cfg.vllm.gpu_memory_share < most:
        tries(f"vllm.gpu_memory_share = {most:g}", gpu_memory_share=most)
    for tensor in (2, 4, 8, 16):
        if tensor > cfg.vllm.tensor_parallel and shape.heads % tensor == 0:
            gpus = f" (--gpus {tensor})" if tensor > machine.gpus else ""
            if tries(f"vllm.tensor_parallel = {tensor}{gpus}", tensor_parallel=tensor):
                break
    return _sentence(found, "a smaller model, or GPUs with more memory")


def _sentence(found: list[str], otherwise: str) -> str:
    return f"What would fit: {'; '.join(found)}" if found else f"What would fit: {otherwise}"
