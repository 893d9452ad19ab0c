"""What the settings of every method have in common: the base of a run file's method root."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from alma.objectives import OBJECTIVES
from alma.sections import Answers, Chat, Engine, Outsider, Reward, Sampling, Section, Vllm
from alma.text.twice import first_twice

MAX_ROUNDS = 1000
"""More than anybody ran; each is a dozen steps of the graph, which is traced before anything starts."""


class Method(Section):
    """One method's settings: what is said once for all stages, and a section per use of a stage.

    A field whose default is a section states what the method sets there: who writes one of its settings in a run file
    keeps the others. ``report`` so states the page: its title, what its head says was run, which sections it has.
    """

    root: ClassVar[str]
    """The name of its root in a run file."""

    title: ClassVar[str]
    """The method's name and paper, for people."""

    sources: ClassVar[Mapping[str, str]] = {}
    """What comes from outside: use of ``ingest`` → its kind."""

    inference: ClassVar[tuple[str, ...]] = ()
    """Uses of stages that run a model; they take ``engine`` and what is said of engines here."""

    trained: ClassVar[tuple[str, ...]] = ()
    """Those of them whose models the run itself trains, so that no endpoint can serve them."""

    training: ClassVar[tuple[str, ...]] = ()
    """Uses of ``finetune``."""

    seed: int = 0
    """All randomness of the run follows from this."""

    engine: Engine = "hf"
    """Engine of every stage that does not name its own."""

    vllm: Vllm = Field(default=Vllm(), exclude=True)
    """Memory, devices and lengths of ``engine = "vllm"`` for every stage that does not say its own. A stage that holds
    a judge beside its model takes half the ``gpu_memory_share``."""

    @property
    def uses(self) -> dict[str, Section]:
        """The sections, by use: what stages get, and what shapes the graph.

        ``evaluator_<name>`` is how an outside evaluator is asked, ``evaluator_<name>_<field>`` what it takes from
        outside.
        """
        fields = type(self).model_fields
        found = {name: value for name, value in self if isinstance(value, Section) and not fields[name].exclude}
        for each in self.outsiders:
            use = f"evaluator_{each.name}"
            found |= {use: each.asks, **{f"{use}_{field}": source for field, source in each.sources.items()}}
        return found

    @property
    def outsiders(self) -> tuple[Outsider, ...]:
        """Who judges the run from outside."""
        return ()

    @property
    def length(self) -> str:
        """How long the run is, for people: "10 rounds"."""
        raise NotImplementedError

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of these settings before anything runs; ``alma plan`` tells it."""
        return ()

    @classmethod
    def shared(cls, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Use → the settings that it takes from ``values``, the whole run's, where it says nothing itself."""
        engine = values.get("engine", "hf")
        vllm = values.get("vllm", {})
        found: dict[str, dict[str, Any]] = {name: {"engine": engine} for name in cls.inference}
        for name in cls.inference if isinstance(vllm, dict) else ():
            half = name == "evaluate" and isinstance(vllm.get("gpu_memory_share"), float)
            own = {"gpu_memory_share": vllm["gpu_memory_share"] / 2} if half else {}
            default = cls.model_fields[name].default.vllm.model_dump(exclude_defaults=True)
            if joined := default | vllm | own:
                found[name]["vllm"] = joined
        for name in cls.inference:
            for field, value in cls.model_fields[name].default:
                if isinstance(value, Sampling):  # so that who sets one of its fields keeps the others
                    found[name][field] = value.model_dump(exclude_defaults=True)
        found |= {name: {"trainer": "echo"} if engine == "echo" else {} for name in cls.training}
        for name, field in cls.model_fields.items():
            if isinstance(field.default, Section) and name not in cls.inference:
                own = field.default.model_dump(exclude_unset=True)
                found |= {name: own | found.get(name, {})} if own else {}
        return found | {name: {"kind": kind} for name, kind in cls.sources.items()}

    @model_validator(mode="before")
    @classmethod
    def _share(cls, values: Any) -> Any:
        """Hands what the run says once to the sections that do not say it themselves."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        shared = cls.shared(values)
        if isinstance(values.get("evaluators"), list | tuple):
            values["evaluators"] = [_evaluator(each, shared["evaluate"]) for each in values["evaluators"]]
        for name, defaults in shared.items():
            given = values.get(name, None if name in cls.sources else {})
            if isinstance(given, dict):
                values[name] = _merged(cls._for_objective(name, defaults, given), given)
        return values

    @classmethod
    def _for_objective(cls, name: str, defaults: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """A training's ``defaults`` with its objective's own.

        What the method says was said of the objective that it trains with by itself: any other one's own come first.
        """
        if name not in cls.training:
            return defaults
        usual = cls.model_fields[name].default.objective
        named = given.get("objective", defaults.get("objective", usual))
        own = _defaults_of(named)
        return own | defaults if named == usual else defaults | own

    @model_validator(mode="after")
    def _outside(self) -> Self:
        kinds = {each.name: each for each in self.outsiders}
        twice = first_twice(each.name for each in self.outsiders)
        if twice is not None:
            raise ValueError(f"evaluators: two are called {twice!r}; each has a name of its own")
        for each in self.outsiders:
            can = [name for name, other in kinds.items() if isinstance(other, Reward | Chat)]
            if isinstance(each, Answers) and each.by not in can:
                raise ValueError(
                    f"evaluators.{each.name}.by = {each.by!r} names no evaluator of kind 'reward' or 'chat'; there "
                    f"are: {', '.join(can) or 'none'}"
                )
        return self

    @model_validator(mode="after")
    def _trained(self) -> Self:
        for name in self.training:
            objective = getattr(self, name).objective
            wanted = OBJECTIVES[type(self).model_fields[name].default.objective].trains
            if OBJECTIVES[objective].trains != wanted:
                fitting = " or ".join(other for other, each in OBJECTIVES.items() if each.trains == wanted)
                raise ValueError(f"{name}.objective = {objective!r} trains no {wanted}; it is {fitting}")
            if fault := OBJECTIVES[objective].fault(getattr(self, name)):
                raise ValueError(f"{name}: {fault}")
        return self

    @model_validator(mode="after")
    def _served(self) -> Self:
        for name in self.trained:
            if getattr(self, name).engine == "openai":
                raise ValueError(f"{name}.engine = 'openai': this run trains that model, and no endpoint serves it")
        return self


def _defaults_of(objective: Any) -> dict[str, Any]:
    """An objective's own defaults; none where there is no such objective, which is refused later."""
    return dict(OBJECTIVES[objective].defaults) if isinstance(objective, str) and objective in OBJECTIVES else {}


def _evaluator(given: Any, evaluate: Mapping[str, Any]) -> Any:
    """An outside evaluator with what the run says once: the engine of ``evaluate``."""
    if not isinstance(given, dict):
        return given
    if given.get("kind") == "safety" and isinstance(given.get("evaluate", {}), dict):
        return given | {"evaluate": _merged(evaluate, given.get("evaluate", {}))}
    if given.get("kind") == "harness" and isinstance(given.get("vllm", {}), dict):
        # Exams share the GPU with no judge.
        alone = {name: value for name, value in evaluate.get("vllm", {}).items() if name != "gpu_memory_share"}
        return {"engine": evaluate["engine"]} | given | {"vllm": alone | given.get("vllm", {})}
    return {"engine": evaluate["engine"]} | given if given.get("kind") == "reward" else given


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` over ``defaults``; structures such as ``vllm`` are joined, not replaced."""
    merged = dict(defaults) | dict(given)
    for name, value in defaults.items():
        if isinstance(value, dict) and isinstance(given.get(name), dict):
            merged[name] = value | given[name]
    return merged
