"""Pipelines of others: what a server, or a file, says that one is."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from alma.errors import ConfigError
from pipelines.package import changed, read_package, spec_of, store_of, tasks_of
from tests.builders.submitting import ROOT

COMPILED = ROOT / "pipelines" / "compiled" / "isara-micro.yaml"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, below in items for each in places(below, (*path, key)))]


SPEC: dict[str, Any] = {
    "pipelineInfo": {"name": "p"},
    "root": {
        "dag": {"tasks": {"a": {"componentRef": {"name": "comp-a"}, "taskInfo": {"name": "a"}}}},
        "inputDefinitions": {"parameters": {"store": {"parameterType": "STRING", "defaultValue": "s3://b"}}},
    },
    "components": {
        "comp-a": {"dag": {"tasks": {"b": {"componentRef": {"name": "comp-b"}, "taskInfo": {"name": "b"}}}}},
        "comp-b": {"executorLabel": "exec-b"},
    },
}


def test_a_spec_is_what_it_was() -> None:
    spec = read_package(COMPILED)["pipeline_spec"]
    for stored in (spec, {"pipeline_spec": spec}):
        found = spec_of(stored)
        assert found is not None
        assert tasks_of(found) == tasks_of(spec)
        assert store_of(found, {}) == store_of(spec, {})
        assert changed(found, {"store": "s3://elsewhere"}) == {"store": "s3://elsewhere"}


@given(data=st.data())
def test_whatever_a_server_says_is_a_spec_or_none(data: st.DataObject) -> None:
    spec = copy.deepcopy(SPEC)
    path = data.draw(st.sampled_from(places(spec)[1:]))
    holder: Any = spec
    for key in path[:-1]:
        holder = holder[key]
    if data.draw(st.booleans()):
        del holder[path[-1]]
    else:
        holder[path[-1]] = data.draw(JSON)
    found = spec_of(spec)
    if found is not None:
        assert isinstance(tasks_of(found), list)
        store_of(found, {})
        changed(found, {"store": "x"})


@pytest.mark.parametrize("place", ["key", "value", "number"])
def test_half_a_character_and_a_number_without_end_are_none_of_a_pipeline(place: str, tmp_path: Any) -> None:
    spec = copy.deepcopy(SPEC)
    if place == "key":
        spec["root"]["dag"]["tasks"]["\ud800"] = spec["root"]["dag"]["tasks"].pop("a")
    elif place == "number":
        given = {"x": {"runtimeValue": {"constant": 10**400}}}
        spec["root"]["dag"]["tasks"]["a"]["inputs"] = {"parameters": given}
    else:
        spec["root"]["dag"]["tasks"]["a"]["taskInfo"]["name"] = "\ud800"
    assert spec_of(spec) is None
    (tmp_path / "a.yaml").write_text(json.dumps(spec))
    with pytest.raises(ConfigError, match=r"a\.yaml: not"):
        read_package(tmp_path / "a.yaml")


def test_pipelines_in_themselves_and_without_end_are_none() -> None:
    """Ten tasks on each of 30 levels are more than there are atoms."""
    nested = copy.deepcopy(SPEC)
    nested["components"]["comp-a"]["dag"]["tasks"]["b"]["componentRef"]["name"] = "comp-a"
    assert spec_of(nested) is None
    wide = copy.deepcopy(SPEC)
    for level in range(30):
        tasks = {f"t{n}": {"componentRef": {"name": f"comp-{level}"}} for n in range(10)}
        wide["components"][f"comp-{level + 1}"] = {"dag": {"tasks": tasks}}
    wide["root"]["dag"]["tasks"]["a"]["componentRef"]["name"] = "comp-30"
    assert spec_of(wide) is None


def test_a_file_of_a_pipeline_in_itself_is_refused(tmp_path: Any) -> None:
    nested = copy.deepcopy(SPEC)
    nested["components"]["comp-a"]["dag"]["tasks"]["b"]["componentRef"]["name"] = "comp-a"
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(nested))
    with pytest.raises(ConfigError, match=r"not a whole pipeline .*more than 32 levels"):
        read_package(tmp_path / "a.yaml")


def test_a_few_lines_that_stand_for_billions_are_refused(tmp_path: Any) -> None:
    lists = "".join(f"- &{n} [{', '.join(['x' if n == 'a' else f'*{chr(ord(n) - 1)}'] * 9)}]\n" for n in "abcdefghijk")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(SPEC) + "more:\n" + lists)
    with pytest.raises(ConfigError, match=r"a\.yaml: not YAML: it holds more than 2,000,000 values"):
        read_package(tmp_path / "a.yaml")
