"""What settings say in Kubernetes' own words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from alma.config import explain
from alma.config.kubernetes import Affinity, Cpu, Labels, Size, Tolerated
from alma.errors import ConfigError
from alma.running.form import check_form
from cluster.placement import parse
from components.placement import Placement

ZONES = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}


@pytest.mark.parametrize(
    "given",
    [
        {"images": {"generate": "registry:5000/alma-vllm@sha256:0123"}},
        {"accelerator": "amd.com/gpu"},
        {"labels": {"example.com/team": "alignment", "empty": ""}},
        {"base": {"cpu": "500m", "memory": "1536Mi"}, "cache_size": "1000000"},
        {"tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoSchedule"}]},
        {"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]},
        {"affinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [ZONES]}}},
        {"affinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": ZONES}]}},
    ],
)
def test_what_kubernetes_takes_is_taken_as_it_is(given: dict[str, Any]) -> None:
    placement = Placement.model_validate(given)
    assert {name: placement.model_dump(exclude_unset=True)[name] for name in given} == given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"images": {"train": "alma\nb"}}, r"images\.train: 'alma\\nb' is not the name of an image"),
        ({"images": {"train": "{{x}}"}}, "is not the name of an image"),
        ({"labels": {"kueue.x-k8s.io/queue-name": "a"}}, r"is said by placement\.queue"),
        ({"accelerator": "gpu"}, 'such as "nvidia.com/gpu"'),
        ({"labels": {"a b": "c"}}, "'a b' is not the name of a label"),
        ({"node_selector": {"pool": "big one"}}, r"node_selector\.pool: 'big one' is not the value of a label"),
        ({"base": {"memory": "1.5Gi"}}, r"base\.memory: '1\.5Gi' is not bytes.* such as \"1536Mi\""),
        ({"base": {"cpu": "2k"}}, r"base\.cpu: '2k' is not a number of CPUs"),
        ({"s3_secret": "a..b"}, r"'a\.\.b' is not the name of an object"),
        ({"queue": "q" * 64}, "63 at most"),
        ({"retries": 2**31}, "less than or equal to 2147483647"),
        ({"store": "/data"}, "s3://"),
        ({"store": "s3://b/c"}, "s3://"),
        ({"tolerations": [{"effect": "NoSchedule"}]}, 'needs a key, or operator = "Exists"'),
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "takes no value"),
        ({"tolerations": [{"key": "a", "toleration_seconds": 3}]}, "unknown setting"),
        ({"tolerations": [{"key": "a", "tolerationSeconds": 3}]}, 'with effect = "NoExecute" only'),
        ({"affinity": {"nodeAffinity": {}}}, "leave out nodeAffinity"),
        ({"affinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}, "at least 1"),
    ],
)
def test_what_it_would_refuse_is_refused_with_a_remedy(given: dict[str, Any], said: str) -> None:
    from alma.config import explain

    with pytest.raises(ValidationError) as raised:
        Placement.model_validate(given)
    assert re.search(said, explain(raised.value, "run.toml", "placement", Placement))


@pytest.mark.parametrize(
    "requirement",
    [
        {"key": "zone", "operator": "In"},
        {"key": "zone", "operator": "Exists", "values": ["a"]},
        {"key": "cores", "operator": "Gt", "values": ["many"]},
        {"key": "zone", "operator": "Is", "values": ["a"]},
        {"key": "zone"},
    ],
)
def test_a_requirement_of_nodes_compares_as_its_operator_does(requirement: dict[str, Any]) -> None:
    terms = {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
    with pytest.raises(ValidationError):
        TypeAdapter(Affinity).validate_python({"requiredDuringSchedulingIgnoredDuringExecution": terms})


def test_a_job_and_a_pipeline_take_the_same() -> None:
    with pytest.raises(Exception, match=r"tolerations\.0.*needs a key"):
        parse("respond", {"image": "a", "tolerations": [{"effect": "NoSchedule"}]})


# As kfp.dsl.PipelineTask takes them: https://kubeflow-pipelines.readthedocs.io/en/stable/source/dsl.html
KFP = {Cpu: r"([0-9]+(\.[0-9]+)?|[0-9]+m)", Size: r"[0-9]+(E|Ei|P|Pi|T|Ti|G|Gi|M|Mi|K|Ki)?"}


@pytest.mark.parametrize("kind", KFP)
@given(data=st.data())
def test_a_quantity_that_is_taken_here_is_taken_by_kfp(kind: Any, data: st.DataObject) -> None:
    numbers = st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,2})?", fullmatch=True)
    text = data.draw(numbers) + data.draw(st.sampled_from(["", "m", "k", "K", "Ki", "M", "Mi", "G", "Gi", "T", "E"]))
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return
    assert re.fullmatch(KFP[kind], text)


@given(labels=st.dictionaries(st.text(max_size=70), st.text(max_size=70), max_size=2))
def test_labels_that_are_taken_are_ones(labels: dict[str, str]) -> None:
    try:
        TypeAdapter(Labels).validate_python(labels)
    except ValidationError:
        return
    assert all(re.fullmatch(r"[-A-Za-z0-9_./]+", name) for name in labels)
    assert all(re.fullmatch(r"[-A-Za-z0-9_.]{0,63}", value) for value in labels.values())


def test_a_toleration_is_read_strictly() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Tolerated).validate_python({"key": "a", "effect": "NoExecute", "tolerationSeconds": "300"})


@pytest.mark.parametrize(
    ("key", "said"),
    [(1, r"Input should be a valid string \(it is 1\)"), ("a b", "'a b' is not the key of a taint, such as .*")],
)
def test_a_key_of_a_toleration_has_one_message(key: object, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Placement(tolerations=[{"key": key, "operator": "Exists"}])
    assert re.fullmatch(
        rf".*: placement\.tolerations\.0\.key: {said}", explain(caught.value, "f", "placement", Placement)
    )
    assert Placement(tolerations=[{"key": "", "operator": "Exists"}])


FORM = {
    "image_generate": "alma-vllm:1",
    "memory_generate": "64Gi",
    "gpus_generate": "8",
    "node_selector": '{"pool": "big"}',
    "node_tolerations": '[{"operator": "Exists"}]',
}


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        *(
            ("gpus_generate", count, r"gpus_generate is .*placement\.generate\.gpus = 0")
            for count in ("0", "-1", "one", "")
        ),
        ("gpus_generate", "9" * 5000, "give 1 or more"),
        ("memory_generate", "64 GB", "memory_generate: '64 GB' is not bytes"),
        ("image_generate", "", "image_generate: '' is not the name of an image"),
        ("node_selector", '{"a": 1}', r"node_selector\.a: "),
        ("node_selector", "pool=big", "node_selector.*JSON"),
        ("node_tolerations", '{"operator": "Exists"}', "node_tolerations: .*list"),
        ("node_tolerations", '[{"key": "a", "seconds": 3}]', r"node_tolerations\.0"),
    ],
)
def test_what_was_typed_into_the_form_is_held_to_the_same_before_any_work(field: str, text: str, said: str) -> None:
    check_form(FORM)
    with pytest.raises(ConfigError, match=said):
        check_form(FORM | {field: text})
