"""The run file: TOML in, one frozen tree of settings out, JSON between machines.

A run file has two roots: ``[alma]`` (or ``[isara]``), the method, typed here; ``[placement]``, the cluster, typed
elsewhere and ignored on one machine. Everything is checked before any work starts.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from alma.errors import ConfigError
from alma.sections import (
    Curate,
    Diversify,
    Embed,
    Engine,
    Evaluate,
    Finetune,
    IngestModel,
    IngestRows,
    Judge,
    Positive,
    Report,
    Respond,
    Section,
    Select,
    Synthesize,
    check_judge_template,
)

ROOTS = ("alma", "placement")


class Distill(Section):
    """The judge learns from its own scores once (paper section 3.3.3)."""

    enabled: bool = True
    """``false`` is the paper's ablation: the judge stays as its human labels made it."""

    num_prompts: Positive = 10_000
    """Pool prompts kept for this. [ours: with two responses each, the paper's 20k pairs]"""

    num_samples: Annotated[int, Field(ge=2)] = 2
    """Responses per prompt, in equal shares from the two initial checkpoints. [ours]"""

    replay: bool = True
    """Train on the human scores again beside the judge's own, so that they are not forgotten. [ours]"""


class Curve(Section):
    """Best-of-n on the evaluation prompts, from the first round's pool of checkpoints."""

    enabled: bool = True
    """``false`` saves its samples."""

    num_samples: Positive = 64
    """Largest n. The paper's figure goes to 400."""


class Alma(Section):
    """The ALMA method (arXiv 2412.04305)."""

    rounds: Positive = 10
    """R, feedback rounds after the initial SFT; the final model is M_{R+1}. [P 3.4]"""

    seed: int = 0
    """All randomness of the run follows from this."""

    engine: Engine = "hf"
    """Engine of every stage that does not name its own."""

    judge_template: str | None = None
    """Rating prompt of every stage that does not name its own. ``None`` = the paper's, in our words."""

    pool: Literal["initial_and_latest", "latest", "initial"] = "initial_and_latest"
    """Checkpoints that answer from the second feedback round on. [P 3.2; the others are its ablations]"""

    start: Literal["base", "latest"] = "base"
    """Every round trains from the base model [P 3.4], or continues from the latest one."""

    data: Literal["union", "latest"] = "union"
    """Train on all rounds' rows [P 3.4], or on the latest round's only (arXiv 2408.07072)."""

    base: IngestModel
    """The base model, M0."""

    sft_seeds: IngestRows
    """Prompts with responses written by people: 5,000 in the paper. [P 4.1]"""

    score_seeds: IngestRows
    """Responses with human scores 0..10: 4,000 in the paper. [P 3.3.1]"""

    heldout_scores: IngestRows | None = None
    """More of them, never trained on, to examine the judge."""

    evaluation_prompts: IngestRows
    """Held-out prompts; those found in the pool are removed from the pool."""

    synthesize: Synthesize = Synthesize()
    curate: Curate = Curate()
    embed: Embed = Embed()
    diversify: Diversify = Diversify()
    initial: Finetune = Finetune()
    judge_seed: Finetune = Finetune(objective="judge", packing=False)
    judge_distill: Finetune = Finetune(objective="judge", packing=False)
    distill: Distill = Distill()
    respond: Respond = Respond()
    judge: Judge = Judge()
    select: Select = Select()
    train: Finetune = Finetune()
    evaluate: Evaluate = Evaluate()
    curve: Curve = Curve()
    report: Report = Report()

    @model_validator(mode="before")
    @classmethod
    def _share_defaults(cls, values: Any) -> Any:
        """Hands the run's engine, rating prompt and objectives to the sections that do not name their own."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        engine = values.get("engine", "hf")
        template = values.get("judge_template")
        shared: dict[str, dict[str, Any]] = {name: {"engine": engine} for name in _INFERENCE}
        shared |= {name: {"trainer": "echo"} if engine == "echo" else {} for name in _TRAINING}
        for name in ("judge_seed", "judge_distill"):
            shared[name] |= {"objective": "judge", "packing": False}
        if template is not None:
            for name in ("judge_seed", "judge_distill", "judge", "evaluate"):
                shared[name]["template"] = template
        pairs = values.get("select", {}).get("pairs") if isinstance(values.get("select"), dict) else None
        shared["train"]["objective"] = "dpo" if pairs else "sft"
        for name, kind in _KINDS.items():
            shared[name] = {"kind": kind}
        for name, defaults in shared.items():
            given = values.get(name, {} if name not in _KINDS else None)
            if isinstance(given, dict):
                values[name] = defaults | given
        return values

    @model_validator(mode="after")
    def _possible(self) -> Alma:
        if self.respond.num_prompts is None:
            raise ValueError("respond.num_prompts is required: K, the prompts of one round")
        k, clusters = self.respond.num_prompts, self.diversify.num_clusters
        if self.diversify.method == "kmeans" and k > clusters:
            raise ValueError(
                f"respond.num_prompts = {k} is above diversify.num_clusters = {clusters}: a round takes one prompt "
                "from each of num_prompts clusters; lower the first or raise the second"
            )
        reserve = self.distill.num_prompts
        wanted = self.rounds * k + reserve
        if wanted > self.synthesize.num_attempts:
            raise ValueError(
                f"rounds × respond.num_prompts + distill.num_prompts = {self.rounds} × {k} + {reserve} = {wanted} is "
                f"above the pool, synthesize.num_attempts = {self.synthesize.num_attempts}; prompts are never used "
                "twice"
            )
        if bool(self.select.pairs) != (self.train.objective == "dpo"):
            raise ValueError(
                f"select.pairs = {self.select.pairs!r} and train.objective = {self.train.objective!r} do not fit: "
                "preference pairs train with dpo, best responses with sft"
            )
        if self.respond.num_samples < 2 and self.select.pairs:
            raise ValueError("respond.num_samples must be at least 2 for preference pairs")
        for name in ("initial", "train"):
            if getattr(self, name).objective == "judge":
                raise ValueError(f"{name}.objective = 'judge' is the judge's; it is sft or dpo")
        for name in ("judge_seed", "judge_distill"):
            if getattr(self, name).template != self.judge.template:
                raise ValueError(f"{name}.template differs from judge.template: set judge_template once instead")
        check_judge_template(self.judge.template)
        return self


_INFERENCE = ("synthesize", "embed", "respond", "judge", "evaluate")
_TRAINING = ("initial", "judge_seed", "judge_distill", "train")
_KINDS = {
    "base": "model",
    "sft_seeds": "pairs",
    "score_seeds": "scores",
    "heldout_scores": "scores",
    "evaluation_prompts": "prompts",
}


def load(path: Path, overrides: Sequence[str] = ()) -> Alma:
    """Reads a run file and applies ``overrides`` such as ``alma.rounds=3`` (the right side is TOML).

    Raises ``ConfigError`` that names the file, the key, the value and what is accepted.
    """
    return parse(read_tree(path, overrides), str(path))


def read_tree(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A run file as plain values, ``overrides`` applied. Raises ``ConfigError`` for one that is not TOML."""
    try:
        text = path.read_bytes().decode("utf-8")
        tree = tomllib.loads(text)
    except FileNotFoundError as error:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.toml")], n=3, cutoff=0.4)
        raise ConfigError(f"{path}: no such run file{_suggest(near)}") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path}: is a folder; name the run file (a .toml) in it") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    for override in overrides:
        _apply(tree, override)
    return tree


def parse(tree: dict[str, Any], origin: str) -> Alma:
    """The settings of a parsed run file; ``origin`` is named in errors."""
    unknown = sorted(set(tree) - set(ROOTS))
    if unknown:
        raise ConfigError(f"{origin}: unknown root [{unknown[0]}]; a run file has [{'], ['.join(ROOTS)}]")
    if "alma" not in tree:
        raise ConfigError(f"{origin}: no [alma] section, which names the method's settings")
    try:
        return Alma.model_validate(tree["alma"])
    except ValidationError as error:
        raise ConfigError(explain(error, origin, "alma", Alma)) from error


def explain(error: ValidationError, origin: str, root: str, model: type[Section]) -> str:
    """One line per fault: file, key, value, what is accepted."""
    lines = []
    for fault in error.errors():
        place = ".".join([root, *(str(step) for step in fault["loc"])])
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            fields = _fields_at(model, fault["loc"][:-1])
            near = difflib.get_close_matches(str(fault["loc"][-1]), fields, n=3, cutoff=0.5)
            message = f"unknown setting{_suggest(near) or '; there are: ' + ', '.join(sorted(fields))}"
        elif fault["type"] == "missing":
            message = "is required"
        elif fault["type"] != "value_error":
            message = f"{message} (it is {_short(fault['input'])})"
        lines.append(f"{origin}: {place}: {message}")
    return "\n".join(lines)


def _fields_at(model: type[Section], steps: Sequence[int | str]) -> list[str]:
    for step in steps:
        kind = model.model_fields[str(step)].annotation if str(step) in model.model_fields else None
        choices = [kind, *getattr(kind, "__args__", ())]
        inner = next((c for c in choices if isinstance(c, type) and issubclass(c, Section)), None)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _apply(tree: dict[str, Any], override: str) -> None:
    place, equals, text = override.partition("=")
    steps = place.strip().split(".")
    if not equals or not all(steps):
        raise ConfigError(f"--set {override!r}: write it as alma.section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word, so that nobody has to quote twice in a shell
    for step in steps[:-1]:
        tree = tree.setdefault(step, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {override!r}: {step} is a value, not a section")
    tree[steps[-1]] = value


def _suggest(near: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
