"""Public sets, as files of the shape in which they are published (their texts are ours)."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alma.convert import convert
from alma.convert.published import opened
from alma.errors import ConfigError, DataError
from alma.running.stage import run
from alma.sections import IngestRows
from alma.store import open_store
from alma.text.normalise import normalise

HARMS = (
    "animal_abuse",
    "child_abuse",
    "controversial_topics,politics",
    "discrimination,stereotype,injustice",
    "drug_abuse,weapons,banned_substance",
    "financial_crime,property_crime,theft",
    "hate_speech,offensive_language",
    "misinformation_regarding_ethics,laws_and_safety",
    "non_violent_unethical_behavior",
    "privacy_violation",
    "self_harm",
    "sexually_explicit,adult_content",
    "terrorism,organized_crime",
    "violence,aiding_and_abetting,incitement",
)


def beavertails() -> list[dict[str, Any]]:
    """Twenty prompts with three responses each: unsafe and two safe ones; every fifth has unsafe ones only."""
    rows = []
    for number in range(20):
        harm = HARMS[number % 2]
        for place in range(3):
            safe = place > 0 and number % 5 > 0
            flags = {name: name == harm and not safe for name in HARMS}
            prompt = f"How would one do  thing {number}?" if place else f"how would one do thing {number}?"
            row = {
                "prompt": prompt,
                "response": f"{'No' if safe else 'So'}: {place}",
                "category": flags,
                "is_safe": safe,
            }
            rows.append(row)
    return rows


def truthfulqa() -> list[dict[str, str]]:
    return [
        {
            "Type": "Adversarial",
            "Category": "Myths" if number % 2 else "Law",
            "Question": f"What happens, if {number}?",
            "Best Answer": "Nothing, really",
            "Correct Answers": "Nothing, really; Not much;You wait; ",
            "Incorrect Answers": f"You turn into {number}; You vanish",
            "Source": "https://example.org/a;b",
        }
        for number in range(12)
    ]


def alpacaeval() -> list[dict[str, str]]:
    return [
        {
            "instruction": f"Write {number} words.",
            "output": " ".join("word" for _ in range(number)) + ".",
            "generator": "text_davinci_003",
            "dataset": ("helpful_base", "vicuna")[number % 2],
        }
        for number in range(12)
    ]


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_csv(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def hub_truthfulqa() -> list[dict[str, Any]]:
    def several(text: str) -> list[str]:
        return [each.strip() for each in text.split(";") if each.strip()]

    return [
        {
            "type": row["Type"],
            "category": row["Category"],
            "question": row["Question"],
            "best_answer": row["Best Answer"],
            "correct_answers": several(row["Correct Answers"]),
            "incorrect_answers": several(row["Incorrect Answers"]),
            "source": row["Source"],
        }
        for row in truthfulqa()
    ]


FILES = {
    "beavertails": {
        "train.jsonl": jsonl(beavertails()),
        "train.jsonl.gz": gzip.compress(jsonl(beavertails())),
        "test.jsonl.xz": lzma.compress(jsonl(beavertails())),
        "0000.parquet": as_parquet(beavertails()),
    },
    "truthfulqa": {"TruthfulQA.csv": as_csv(truthfulqa()), "validation.parquet": as_parquet(hub_truthfulqa())},
    "alpacaeval": {"alpaca_eval.json": json.dumps(alpacaeval(), indent=1).encode()},
}


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", FILES)
def test_every_published_form_gives_the_same_files_that_ingest_takes(tmp_path: Path, name: str) -> None:
    written = set()
    for number, (file, content) in enumerate(FILES[name].items()):
        out = tmp_path / f"out{number}"
        convert(name, put(tmp_path, file, content), out, num_seeds=5)
        written.add(tuple((out / each).read_bytes() for each in ("seeds.jsonl", "evaluation.jsonl")))
    assert len(written) == 1
    seeds, evaluation = read(out / "seeds.jsonl"), read(out / "evaluation.jsonl")
    assert len(seeds) == 5
    assert all(set(row) == {"prompt", "response"} for row in seeds)
    store = open_store(str(tmp_path / "store"))
    kinds = {"seeds": "pairs", "evaluation": "prompts"}
    for each, rows in (("seeds", seeds), ("evaluation", evaluation)):
        manifest = run("ingest", IngestRows(kind=kinds[each], source=f"{each}.jsonl"), {}, store, base=out)  # type: ignore[arg-type]
        assert manifest.num_rows == len(rows)


def test_beavertails_learns_safe_answers_and_knows_harms(tmp_path: Path) -> None:
    path = put(tmp_path, "train.jsonl.gz", FILES["beavertails"]["train.jsonl.gz"])
    converted = convert("beavertails", path, tmp_path / "all", num_seeds=16)
    assert all(row["response"].startswith("No: ") for row in converted.files["seeds.jsonl"])
    assert (
        len(converted.files["evaluation.jsonl"]) == 4
    )  # 20 prompts, each in two spellings; four without a safe response
    assert {row["family"] for row in converted.files["evaluation.jsonl"]} == set(HARMS[:2])
    assert "reference" not in converted.files["evaluation.jsonl"][0]
    one = convert("beavertails", path, tmp_path / "one", num_seeds=4, num_evaluation=3, family=HARMS[1])
    assert {row["family"] for row in one.files["evaluation.jsonl"]} == {HARMS[1]}
    assert (len(one.files["evaluation.jsonl"]), one.num_left) == (3, 3)
    with pytest.raises(ConfigError, match="16 of 20 questions have a response to learn from, and 17 seeds"):
        convert("beavertails", path, tmp_path / "many", num_seeds=17)


def test_truthfulqa_has_true_and_false_references(tmp_path: Path) -> None:
    converted = convert("truthfulqa", put(tmp_path, "TruthfulQA.csv", as_csv(truthfulqa())), tmp_path, num_seeds=4)
    row = next(row for row in converted.files["evaluation.jsonl"] if row["family"] == "Myths")
    assert row["true_references"] == ["Nothing, really", "Not much", "You wait"]
    assert row["false_references"][1] == "You vanish"
    assert row["reference"] == "Nothing, really"
    assert {row["response"] for row in converted.files["seeds.jsonl"]} == {"Nothing, really"}


def test_alpacaevals_outputs_are_no_references(tmp_path: Path) -> None:
    path = put(tmp_path, "alpaca_eval.json", FILES["alpacaeval"]["alpaca_eval.json"])
    converted = convert("alpacaeval", path, tmp_path, num_seeds=5)
    assert all(set(row) == {"prompt", "family"} for row in converted.files["evaluation.jsonl"])


@settings(max_examples=40, deadline=None)
@given(order=st.randoms(use_true_random=False), num_seeds=st.integers(1, 16), seed=st.integers(0, 3))
def test_files_do_not_overlap_nor_depend_on_order(order: random.Random, num_seeds: int, seed: int) -> None:
    rows = beavertails()
    with tempfile.TemporaryDirectory() as folder:
        before = convert(
            "beavertails", put(Path(folder), "a.jsonl", jsonl(rows)), Path(folder, "a"), num_seeds=num_seeds, seed=seed
        )
        order.shuffle(rows)
        after = convert(
            "beavertails", put(Path(folder), "b.jsonl", jsonl(rows)), Path(folder, "b"), num_seeds=num_seeds, seed=seed
        )
    assert after == before
    prompts = [[normalise(row["prompt"]) for row in part] for part in before.files.values()]
    assert not set(prompts[0]) & set(prompts[1])
    assert len(set(prompts[0]) | set(prompts[1])) == 20 == sum(map(len, prompts))


def test_another_seed_draws_others_and_the_same_one_the_same(tmp_path: Path) -> None:
    path = put(tmp_path, "alpaca_eval.json", FILES["alpacaeval"]["alpaca_eval.json"])
    first = convert("alpacaeval", path, tmp_path / "a", num_seeds=4)
    assert convert("alpacaeval", path, tmp_path / "a", num_seeds=4) == first
    assert convert("alpacaeval", path, tmp_path / "b", num_seeds=4, seed=1).files != first.files
    with pytest.raises(DataError, match=r"seeds\.jsonl is there, with another content"):
        convert("alpacaeval", path, tmp_path / "a", num_seeds=4, seed=1)


@pytest.mark.parametrize(
    ("name", "file", "content", "said"),
    [
        pytest.param(
            "alpacaeval",
            "a.json",
            b'[{"prompt": "x"}]',
            r"line 1: no column 'instruction'; it has 'prompt'",
            id="column",
        ),
        pytest.param(
            "truthfulqa", "a.csv", b"Question,Best Answer\nx,y\n", "line 2: no column 'Correct Answers'", id="csv"
        ),
        pytest.param("beavertails", "a.jsonl", b"{}\n", "line 1: no column 'prompt'", id="empty-row"),
        pytest.param("beavertails", "a.jsonl", b'{"prompt": 1\n', "line 1: not JSON", id="torn"),
        pytest.param(
            "beavertails",
            "a.jsonl",
            b'{"prompt": "x", "response": "y", "category": "theft", "is_safe": 1}\n',
            "line 1: category is 'theft' and is_safe 1",
            id="types",
        ),
        pytest.param("beavertails", "a.jsonl.gz", gzip.compress(b"{}" * 999)[:-20], "cannot be unpacked", id="torn-gz"),
        pytest.param("beavertails", "a.jsonl.xz", b"no xz", "cannot be unpacked", id="no-xz"),
        pytest.param("beavertails", "a.parquet", b"no Parquet", "not readable as Parquet", id="no-parquet"),
        pytest.param("alpacaeval", "a.txt", b"x", "rows are read from", id="suffix"),
        pytest.param("alpacaeval", "a.json", b"[]", "no row of it is usable", id="no-rows"),
        pytest.param(
            "alpacaeval",
            "a.json",
            b'[{"instruction": "x", "output": "y", "generator": "z", "dataset": null}]',
            "line 1: dataset is None, and no text",
            id="family-null",
        ),
        pytest.param(
            "truthfulqa",
            "a.jsonl",
            b'{"question": "x", "best_answer": "y", "correct_answers": [], "incorrect_answers": [], "category": 5}\n',
            "line 1: category is 5, and no text",
            id="family-number",
        ),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, name: str, file: str, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        convert(name, put(tmp_path, file, content), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name, said in (("pipe.jsonl", "is a pipe"), (".", "is a folder"), ("none.jsonl", "no such file")):
        with pytest.raises(DataError, match=said):
            convert("lima", tmp_path / name, tmp_path / "out")


def test_all_of_a_set_is_for_evaluation_where_no_seeds_are_asked_for(tmp_path: Path) -> None:
    path = put(tmp_path, "alpaca_eval.json", FILES["alpacaeval"]["alpaca_eval.json"])
    converted = convert("alpacaeval", path, tmp_path / "out", num_seeds=0)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["evaluation.jsonl"]
    assert {row["prompt"] for row in converted.files["evaluation.jsonl"]} == {
        row["instruction"] for row in alpacaeval()
    }


def test_what_is_asked_for_has_to_be_there(tmp_path: Path) -> None:
    path = put(tmp_path, "alpaca_eval.json", FILES["alpacaeval"]["alpaca_eval.json"])
    with pytest.raises(ConfigError, match="no such set: 'squad'; there are: beavertails"):
        convert("squad", path, tmp_path)
    with pytest.raises(ConfigError, match="no question is of family 'koala'; there are: helpful_base, vicuna"):
        convert("alpacaeval", path, tmp_path, family="koala")
    with pytest.raises(ConfigError, match="0 questions are left beside 12 seeds"):
        convert("alpacaeval", path, tmp_path, num_seeds=12)
    with pytest.raises(ConfigError, match="must not be below 0"):
        convert("alpacaeval", path, tmp_path, num_seeds=-1)
    with pytest.raises(ConfigError, match="no prompt is asked for"):
        convert("alpacaeval", path, tmp_path, num_seeds=0, num_evaluation=0)
    with pytest.raises(DataError, match="no such file; download the set first"):
        convert("alpacaeval", tmp_path / "none.json", tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        convert("alpacaeval", path, path, num_seeds=2)


def test_unusable_texts_are_left_out(tmp_path: Path) -> None:
    rows = alpacaeval()
    rows[0]["output"] = " "
    rows[1]["instruction"] = "control \x07 character"
    path = put(tmp_path, "alpaca_eval.json", json.dumps(rows).encode())
    converted = convert("alpacaeval", path, tmp_path / "out", num_seeds=2)
    assert len(converted.files["seeds.jsonl"]) + len(converted.files["evaluation.jsonl"]) == 10


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("alpacaeval", {"output": [{"role": "assistant", "content": "a"}]}),
        ("beavertails", {"response": [{"role": "assistant", "content": "a"}], "is_safe": True}),
        ("truthfulqa", {"Best Answer": [{"role": "assistant", "content": "a"}]}),
    ],
)
def test_a_conversation_in_the_place_of_an_answer_is_left_out(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    rows: list[dict[str, Any]] = {"alpacaeval": alpacaeval, "beavertails": beavertails, "truthfulqa": truthfulqa}[
        name
    ]()
    first, *others = rows
    done = convert(name, put(tmp_path, "set.jsonl", jsonl([first | changes, *others])), tmp_path, num_seeds=1)
    assert sum(done.unusable.values()) == 1


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_a_file_that_unpacks_beyond_its_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr("alma.convert.published.MOST_BYTES", 2**22)
    path = put(tmp_path, f"train.jsonl{suffix}", pack(bytes(2**24)))
    with pytest.raises(DataError, match=r"larger than 4,194,304 bytes when it is unpacked, and its file has"):
        convert("beavertails", path, tmp_path / "out")


def test_xz_takes_no_more_memory_than_its_bound_whatever_it_says(tmp_path: Path) -> None:
    dictionary = {"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 2**30}
    path = put(tmp_path, "train.jsonl.xz", lzma.compress(b"{}", filters=[dictionary]))
    with pytest.raises(DataError, match="cannot be unpacked: Memory usage limit exceeded"):
        convert("beavertails", path, tmp_path / "out")


def test_xz_of_several_streams_with_padding_is_read_whole(tmp_path: Path) -> None:
    whole = FILES["beavertails"]["train.jsonl"]
    cut = len(whole) // 2
    path = put(tmp_path, "a.jsonl.xz", lzma.compress(whole[:cut]) + bytes(8) + lzma.compress(whole[cut:]))
    with opened(path) as rows:
        assert len(list(rows)) == whole.count(b"\n")
