"""What fits where: every step that needs a GPU, what it holds there, and where that is too much, what would fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from alma.config import Method
from alma.errors import ConfigError
from alma.plan.machine import Machine
from alma.plan.remedies import for_training, for_vllm
from alma.plan.serving import Hf, Vllm, reference_bytes
from alma.plan.shape import Shape
from alma.plan.size import gb
from alma.plan.training import Training
from alma.recipes.graph import Step, graph
from alma.sections import Evaluate, Finetune, Inference, Judge, Reference, Section


@dataclass(frozen=True, slots=True)
class Fit:
    """One use of a stage on its GPUs."""

    label: str
    how: str
    """The engine or trainer, and how it is shared."""

    parts: tuple[tuple[str, float], ...]
    """What a GPU holds, in bytes."""

    room: float
    """What a GPU has for it."""

    said: str = ""
    """What else follows: rows at once, the micro-batch that the trainer would find."""

    problem: str = ""
    """Why it cannot be; empty where it fits."""

    host: float = 0
    """Of a training: memory of the machine itself."""

    @property
    def held(self) -> float:
        """All parts together."""
        return sum(num_bytes for _, num_bytes in self.parts)


def fits(cfg: Method, shape: Shape, machine: Machine, prompt_tokens: int) -> list[Fit]:
    """A line for each different use, in order; steps of a stage that are alike share one ("… and 9 more")."""
    alike: dict[tuple[str, Fit], list[str]] = {}
    for step in graph(cfg):
        for fit in _of_step(step, shape, machine, prompt_tokens):
            alike.setdefault((step.stage, fit), []).append(step.label)
    return [replace(fit, label=_and_more(labels)) for (_, fit), labels in alike.items()]


def uncounted(cfg: Method) -> list[str]:
    """Steps whose models are not the base's size, by use: nothing is said of their memory."""
    uses: dict[str, list[str]] = {}
    for step in graph(cfg):
        if step.stage == "reward" or "classifier" in step.inputs:
            uses.setdefault(step.use, []).append(step.label)
    return [_and_more(labels) for labels in uses.values()]


def refuse(found: list[Fit]) -> None:
    """Raises ``ConfigError`` that names every step that cannot fit, and what would."""
    problems = [f"{fit.label}: {fit.problem}" for fit in found if fit.problem]
    if problems:
        raise ConfigError("\n".join(problems))


def _and_more(labels: list[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{labels[0]} and {len(labels) - 1} more"


def _of_step(step: Step, shape: Shape, machine: Machine, prompt_tokens: int) -> Iterator[Fit]:
    section: Section = step.section
    if isinstance(section, Finetune) and section.trainer == "trl":
        yield _training(section, shape, machine)
    elif isinstance(section, Reference) and section.engine == "hf":
        yield _reference(section, shape, machine)
    elif isinstance(section, Inference) and step.stage != "reward":
        if section.engine == "vllm":
            yield _vllm(section, shape, machine, 2 if _has_judge_too(step) else 1)
        elif section.engine == "hf":
            yield _hf(section, shape, machine, 2 if _has_judge_too(step) else _pool(step), prompt_tokens)


def _has_judge_too(step: Step) -> bool:
    """Whether two engines are in memory together."""
    section = step.section
    return (isinstance(section, Evaluate) and "judge" in step.inputs) or (
        isinstance(section, Judge) and section.rationale is not None
    )


def _pool(step: Step) -> int:
    """Checkpoints that are asked in turn; ``hf`` keeps all of them in memory (``alma.engines.pool``)."""
    ports = ("first", "second", "latest") if step.stage == "respond" else ("judge", "second", "third")
    return max(1, sum(port in step.inputs for port in ports) if step.stage in ("respond", "judge") else 1)


def _training(cfg: Finetune, shape: Shape, machine: Machine) -> Fit:
    training, room = Training.of(cfg, shape, machine), machine.room
    wanted, said = training.micro_rows, ""
    while training.peak > room and training.micro_rows > 1:
        training = replace(training, micro_rows=training.micro_rows // 2)
    if training.micro_rows < wanted:
        said = f"micro_batch_rows {wanted} → {training.micro_rows}"
    problem = ""
    if training.per_node > machine.gpus:
        problem = f"num_devices = {training.per_node} GPUs of one machine, and there are {machine.gpus} (--gpus)"
    elif training.peak > room:
        problem = (
            f"{shape.parameters / 1e9:.2f}e9 parameters by parallel = '{training.parallel}' on {_gpus(training.total)} "
            f"need {gb(training.peak)} of each, with one row at a time, and {gb(room)} of its {gb(machine.gpu_bytes)} "
            "can be planned with. Float32 weights, gradients and Adam's two running means alone are 16 bytes for a "
            f"parameter that is trained: {gb(16 * training.trained)}. {for_training(cfg, shape, machine, room)}"
        )
    adapter = f", LoRA r {cfg.adapter.rank}" if cfg.adapter else ""
    parts = (("weights, gradients, Adam", training.states), *_passing(training))
    return Fit(
        "", f"trl {training.parallel}, {_gpus(training.total)}{adapter}", parts, room, said, problem, training.host
    )


def _passing(training: Training) -> tuple[tuple[str, float], ...]:
    if training.step > training.buffers + training.activations:
        return (("optimizer's step", training.step),)
    buffers = (("buffers", training.buffers),) if training.buffers else ()
    return (*buffers, ("activations", training.activations))


def _gpus(number: int) -> str:
    return f"{number} GPU" if number == 1 else f"{number} GPUs"


def _reference(cfg: Reference, shape: Shape, machine: Machine) -> Fit:
    held, weights, room = reference_bytes(cfg, shape), 4 * shape.parameters, machine.room
    problem = ""
    if held > room:
        problem = f"a reference of float32 weights needs {gb(held)}, and there are {gb(room)}; lower batch_tokens"
    return Fit("", "hf, 1 GPU", (("weights", weights), ("forward pass", held - weights)), room, "", problem)


def _vllm(cfg: Inference, shape: Shape, machine: Machine, models: int) -> Fit:
    engine, settings = Vllm(cfg, shape, machine.gpu_bytes), cfg.vllm
    each = settings.tensor_parallel
    engines = settings.data_parallel or max(1, machine.gpus // each)
    problem = ""
    if each * engines > machine.gpus:
        problem = (
            f"vllm.tensor_parallel × data_parallel = {each} × {engines} GPUs, and there are {machine.gpus} (--gpus)"
        )
    elif shape.heads % each:
        problem = f"vllm.tensor_parallel = {each} does not divide the model's {shape.heads} attention heads"
    elif settings.gpu_memory_share * models > 1:
        problem = (
            f"{models} engines share each GPU, and vllm.gpu_memory_share = {settings.gpu_memory_share} is more than "
            "half: 0.45 is usual"
        )
    elif engine.least > engine.room or engine.at_once < 1:
        problem = (
            f"weights, the largest forward pass and the keys and values of one sequence of {engine.longest} tokens "
            f"need {gb(engine.least)} of each GPU, and vllm.gpu_memory_share = {settings.gpu_memory_share} of "
            f"{gb(machine.gpu_bytes)} is {gb(engine.room)}. {for_vllm(cfg, shape, machine, models)}"
        )
    both = " model + judge" if models == 2 else ""
    said = f"{engine.at_once:,} sequences of {engine.longest:,} tokens at once"
    parts = (
        ("weights", models * engine.weights),
        ("forward pass", models * engine.run),
        ("keys, values", models * max(0.0, engine.cache)),
    )
    return Fit("", f"vllm{both}, {engines} × {each} GPU", parts, models * engine.room, said, problem)


def _hf(cfg: Inference, shape: Shape, machine: Machine, models: int, prompt_tokens: int) -> Fit:
    engine = Hf(cfg, shape, machine.room, prompt_tokens)
    others = (models - 1) * engine.weights
    at_once = int((engine.room - models * engine.weights) // engine.row)
    problem = ""
    if at_once < 1:
        problem = (
            f"{gb(models * engine.weights)} of weights leave no room for a sequence in {gb(engine.room)}; engine = "
            "'vllm' with vllm.tensor_parallel shares a model between GPUs"
        )
    elif at_once < cfg.batch_rows:
        problem = (
            f"batch_rows = {cfg.batch_rows} needs {gb(engine.least + others)}, and there are {gb(engine.room)}; set "
            f"batch_rows = {at_once}, or engine = 'vllm', which fits its own"
        )
    parts = (("weights", models * engine.weights), ("keys, values", engine.row * cfg.batch_rows))
    several = f" {models} models" if models > 1 else ""
    return Fit("", f"hf{several}, 1 GPU", parts, engine.room, f"{max(0, at_once):,} rows at once", problem)
