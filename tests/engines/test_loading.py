"""Engines by their names, loaded when they are needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma.engines import Generator, lazy, load_generator, load_reference, load_trainer, loading
from alma.errors import ConfigError
from alma.sections import Inference, Reference


def test_a_lazy_engine_is_loaded_once_and_only_when_it_is_asked_for(tmp_path: Path) -> None:
    loads: list[Generator] = []

    def load() -> Generator:
        loads.append(load_generator(Inference(engine="echo"), tmp_path))
        return loads[-1]

    with lazy(load) as generator:
        assert not loads
        assert generator() is generator() is loads[0]
    with lazy(load):
        pass
    assert len(loads) == 1


def test_a_lazy_engine_is_closed_with_the_error_that_ended_its_block(tmp_path: Path) -> None:
    closed: list[object] = []

    class Engine:
        def __enter__(self) -> Engine:
            return self

        def __exit__(self, kind: object, error: object, trace: object) -> None:
            closed.append(error)

    def broken() -> None:
        with lazy(Engine) as engine:
            engine()
            raise ValueError("rows")

    with pytest.raises(ValueError, match="rows") as caught:
        broken()
    assert closed == [caught.value]


def test_an_engine_that_cannot_is_refused_with_those_that_can(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="engine = 'hf' cannot train; those that can: echo, trl"):
        load_trainer("hf")
    with pytest.raises(ConfigError, match="cannot read preference pairs; those that can: echo, hf"):
        load_reference(Reference.model_construct(engine="vllm"), tmp_path)


def test_every_line_of_the_tables_names_a_file_of_the_room() -> None:
    room = Path(loading.__file__).parent
    tables = [table for name, table in vars(loading).items() if name.isupper() and name.startswith("_")]
    assert len(tables) == 9
    for target in (target for table in tables for target in table.values()):
        module, _, attribute = target.partition(":")
        path = room.joinpath(*module.removeprefix("alma.engines.").split(".")).with_suffix(".py")
        assert f" {attribute}(" in path.read_text(encoding="utf-8") or f"class {attribute}:" in path.read_text(), target
