"""Rows that people wrote come in as they are: in order, once each, from any format and place."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alma.artifact import Manifest, Metrics, Ref, Rows, artifact_key
from alma.artifact.out import Out
from alma.errors import DataError
from alma.sections import IngestRows
from alma.stages import ingest
from alma.store import open_store

MICRO = Path(__file__).parents[2] / "examples" / "micro"
GOOD = {"prompt": "Why is the sky blue?", "response": "Because of Rayleigh scattering.", "score": 7}


def take_in(cfg: IngestRows, base: Path, place: Path) -> tuple[Metrics, list[dict[str, Any]], Manifest]:
    """Ingests into a folder store, seals, and reads back."""
    identity = ingest.identify(cfg, base)
    section = cfg.model_dump(exclude={"source", "revision"})
    ref = Ref("ingest", artifact_key("ingest", ingest.VERSION, section, {}, identity))
    store = open_store(str(place / "store"))
    out = Out(store, ref, place / "scratch")
    metrics = ingest.run(cfg, base=base, identity=identity, out=out)
    manifest = out.seal(
        kind="rows",
        version=ingest.VERSION,
        section=section,
        inputs={},
        identity=identity,
        metrics=metrics,
        device="cpu",
    )
    return metrics, Rows(store, manifest).table().to_pylist(), manifest


def rows(**changes: Any) -> IngestRows:
    return IngestRows(**{"source": "seeds.jsonl", "kind": "scores", **changes})


def lines(*objects: object) -> bytes:
    return "".join(o if isinstance(o, str) else json.dumps(o) + "\n" for o in objects).encode()


def test_a_commit_is_its_own_identity(tmp_path: Path) -> None:
    found = ingest.identify(rows(source="hf://o/n/a.jsonl", revision="ab" * 20), tmp_path)
    assert found == {"hub": f"o/n@{'ab' * 20}", "path": "a.jsonl"}


def test_bad_rows_are_set_aside_up_to_a_share(tmp_path: Path) -> None:
    bad = [{**GOOD, "prompt": f"{i}", "score": 11 + i} for i in range(7)] + [{**GOOD, "prompt": ""}]
    good = [{**GOOD, "prompt": f"p{i}"} for i in range(32)]
    (tmp_path / "seeds.jsonl").write_bytes(lines(*bad, *good))
    with pytest.raises(DataError) as caught:
        take_in(rows(max_bad_share=0.19), tmp_path, tmp_path / "a")
    message = str(caught.value)
    assert "8 of 40 rows" in message
    assert [f"line {n}:" in message for n in (1, 5, 6)] == [True, True, False]
    assert "3 more" in message
    assert "7 × score outside 0 to 10, 1 × empty prompt" in message
    assert "max_bad_share = 0.2 " in message
    metrics, kept, manifest = take_in(rows(max_bad_share=0.2), tmp_path, tmp_path / "b")
    assert metrics["num_bad"] == 8
    assert [row["prompt"] for row in kept] == [f"p{i}" for i in range(32)]
    aside = (tmp_path / "b" / "store" / str(manifest.ref) / "aside.jsonl").read_text().splitlines()
    first = json.loads(aside[0])
    assert (len(aside), first["where"], first["reason"], first["row"]) == (8, "line 1", "score outside 0 to 10", bad[0])


def test_all_bad_is_never_within_the_share(tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_bytes(lines({**GOOD, "score": 11}))
    with pytest.raises(DataError, match="1 of 1 rows"):
        take_in(rows(max_bad_share=1.0), tmp_path, tmp_path)


def test_duplicates_limit_order_and_ids(tmp_path: Path) -> None:
    objects = [{"id": i, "prompt": p, "response": "r"} for i, p in enumerate("baabcd")]
    (tmp_path / "seeds.jsonl").write_bytes(lines(*objects))
    metrics, kept, manifest = take_in(rows(kind="pairs", limit=3), tmp_path, tmp_path)
    assert [(row["prompt"], row["source_id"]) for row in kept] == [("b", "0"), ("a", "1"), ("c", "4")]
    assert [row["id"] for row in kept] == [f"ingest-{manifest.key}-{i}" for i in range(3)]
    counts = {"num_read": 5, "num_rows": 3, "num_duplicates": 2, "num_bad": 0}
    assert metrics == {**counts, "mean_prompt_chars": 1, "mean_response_chars": 1}


def test_two_scores_of_one_response_are_two_opinions(tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_bytes(lines(GOOD, {**GOOD, "score": 8}, GOOD))
    metrics, kept, _ = take_in(rows(), tmp_path, tmp_path)
    assert [row["score"] for row in kept] == [7.0, 8.0]
    assert metrics["num_duplicates"] == 1


def test_without_ids_the_line_is_the_id(tmp_path: Path) -> None:
    (tmp_path / "seeds.csv").write_text('prompt,response\n"a\nb",r\n\nc,r\n')
    _, kept, _ = take_in(rows(source="seeds.csv", kind="pairs"), tmp_path, tmp_path)
    assert [(row["prompt"], row["source_id"]) for row in kept] == [("a\nb", "2"), ("c", "5")]


def test_columns_reach_into_nested_rows(tmp_path: Path) -> None:
    table = [{"conversations": [{"value": "q"}, {"value": "a"}], "meta": {"n": 4}, "a.b": "dots"}]
    columns = {"prompt": "conversations.0.value", "response": "conversations.1.value", "score": "meta.n", "id": "a.b"}
    (tmp_path / "seeds.jsonl").write_bytes(lines(*table))
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "seeds.parquet")
    for name in ("seeds.jsonl", "seeds.parquet"):
        _, (row,), _ = take_in(rows(source=name, columns=columns), tmp_path, tmp_path / name.replace(".", "-"))
        assert (row["prompt"], row["response"], row["score"], row["source_id"]) == ("q", "a", 4.0, "dots")


def test_reference_and_family_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(lines({"prompt": "a", "reference": "b"}, {"prompt": "c", "family": "f"}))
    _, kept, _ = take_in(rows(source="p.jsonl", kind="prompts"), tmp_path, tmp_path)
    assert [(row["reference"], row["family"]) for row in kept] == [("b", None), (None, "f")]
    with pytest.raises(DataError, match="no row has the column 'answer'"):
        take_in(rows(source="p.jsonl", kind="prompts", columns={"reference": "answer"}), tmp_path, tmp_path)


def test_identity_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl", "c.json"):
        (tmp_path / name).write_bytes(lines(GOOD))
    a, b, c = (ingest.identify(rows(source=name), tmp_path) for name in ("a.jsonl", "b.jsonl", "c.json"))
    assert a == b != c
    (tmp_path / "b.jsonl").write_bytes(lines({**GOOD, "score": 8}))
    assert ingest.identify(rows(source=str(tmp_path / "b.jsonl")), Path("/")) != a


def test_s3_is_read_like_a_path(tmp_path: Path, s3_store_uri: str) -> None:
    (tmp_path / "seeds.jsonl").write_bytes(lines(GOOD))
    open_store(s3_store_uri).upload(tmp_path / "seeds.jsonl", "set/seeds.jsonl")
    there = rows(source=f"{s3_store_uri}/set/seeds.jsonl")
    assert ingest.identify(there, tmp_path) == ingest.identify(rows(), tmp_path)
    metrics, _, _ = take_in(there, tmp_path, tmp_path)
    assert metrics["num_rows"] == 1
    with pytest.raises(DataError, match=r"no such object\. Did you mean seeds.jsonl"):
        ingest.identify(rows(source=f"{s3_store_uri}/set/seed.jsonl"), tmp_path)


def test_long_responses_pass_through_csv(tmp_path: Path) -> None:
    with (tmp_path / "seeds.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["prompt", "response"], ["x", "y" * 1_000_000]])
    metrics, _, _ = take_in(rows(source="seeds.csv", kind="pairs"), tmp_path, tmp_path)
    assert metrics["mean_response_chars"] == 1_000_000


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sft_seeds", "pairs"), ("scores", "scores"), ("heldout_scores", "scores"), ("eval_prompts", "prompts")],
)
def test_the_shipped_rows_are_good(tmp_path: Path, name: str, kind: str) -> None:
    cfg = rows(source=f"{name}.jsonl", kind=kind)
    metrics, _, _ = take_in(cfg, MICRO, tmp_path)
    assert (metrics["num_bad"], metrics["num_rows"] > 100) == (0, True)


def write_jsonl(path: Path, table: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table), encoding="utf-8", newline="")


def write_json(path: Path, table: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(table, indent=1), encoding="utf-8")


def write_csv(path: Path, table: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


def write_parquet(path: Path, table: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(table), path)


TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], include_characters="\t\n\r\v\f\x85"), min_size=1
).filter(str.strip)
TABLE = st.lists(
    st.fixed_dictionaries({"prompt": TEXT, "response": TEXT, "score": st.floats(0, 10)}),
    min_size=1,
    max_size=5,
    unique_by=lambda row: tuple(row.values()),
)


@pytest.mark.parametrize(
    ("suffix", "write"),
    [("jsonl", write_jsonl), ("json", write_json), ("csv", write_csv), ("parquet", write_parquet)],
)
def test_rows_come_back_as_they_were_written(
    tmp_path: Path, suffix: str, write: Callable[[Path, list[dict[str, Any]]], None]
) -> None:
    @settings(max_examples=25, deadline=None)
    @given(table=TABLE)
    def round_trip(table: list[dict[str, Any]]) -> None:
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        write(tmp_path / f"seeds.{suffix}", table)
        _, kept, _ = take_in(rows(source=f"seeds.{suffix}"), tmp_path, tmp_path / "run")
        assert [{name: row[name] for name in GOOD} for row in kept] == table

    round_trip()


def test_no_machine_learning_library_is_imported() -> None:
    code = (
        "import sys, alma.stages.ingest, alma.sources.hub; "
        "print([m for m in ('torch', 'transformers', 'huggingface_hub', 'datasets', 'trl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
