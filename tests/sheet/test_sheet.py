"""Sheets as they are written, filled in by every tool, and read back."""

from __future__ import annotations

import csv
import io
import json
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alma.artifact import Artifact, Rows
from alma.cli import main
from alma.errors import ConfigError, DataError
from alma.monitor import journal
from alma.prompts import JUDGE_TEMPLATE
from alma.running.stage import run
from alma.sections import IngestRows
from alma.sheet import read, write
from alma.sheet.agreement import agreements
from alma.sheet.cells import _FORMULA, cell, is_text, text_of
from alma.sheet.draw import draw
from alma.sheet.item import Item
from alma.sheet.key import as_jsonl
from alma.sheet.responses import responses
from alma.sheet.scale import GUIDELINES
from alma.sheet.spreadsheet import as_csv
from alma.store import open_store

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t\r'\",;=+-@7 "), min_size=1)


def put(folder: Path, items: list[Item]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "key.jsonl").write_text(as_jsonl(items), encoding="utf-8", newline="")
    (folder / "sheet.csv").write_text(as_csv(items), encoding="utf-8", newline="")
    return folder


def filled(folder: Path, name: str, scores: list[Any], between: str = ",") -> Path:
    """The sheet as somebody saves it who gave these scores."""
    with (folder / "sheet.csv").open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    text = io.StringIO(newline="")
    lines = csv.writer(text, delimiter=between)
    lines.writerow(head)
    lines.writerows(
        [prompt, response, score, key] for (prompt, response, _, key), score in zip(rows, scores, strict=True)
    )
    (folder / name).write_text(text.getvalue(), encoding="utf-8", newline="")
    return folder / name


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


FOUR = [Item(f"prompt {place % 3}", f"=answer {place}", f"respond-x-{place}", "abc"[place % 2]) for place in range(4)]


@settings(max_examples=300, deadline=None)
@given(TEXTS)
@example("'=1")
@example(" =1")
@example("-1")
@example("3 May")
def test_no_cell_is_a_formula_and_every_one_comes_back(text: str) -> None:
    found = cell(text)
    assert text_of(found) == text
    assert found[0] not in _FORMULA
    assert found.lstrip()[:1] not in _FORMULA or not found.lstrip()
    assert is_text(found, text)
    assert is_text(text, text), "a spreadsheet may take the apostrophe for its own"
    assert is_text(found.replace("\r\n", "\n").replace("\r", "\n"), text)
    assert not is_text(f"{found}x", text)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6, unique=True),
    st.sampled_from(",;\t"),
    st.randoms(use_true_random=False),
)
def test_what_was_given_out_comes_back_with_its_scores(
    texts: list[tuple[str, str]], between: str, rng: random.Random
) -> None:
    items = [Item(prompt, response, f"row {place}") for place, (prompt, response) in enumerate(texts)]
    scores = [rng.randint(0, 10) for _ in items]
    with tempfile.TemporaryDirectory() as name:
        folder = put(Path(name), items)
        told = read(
            folder,
            [filled(folder, "a.csv", [f"{each},0" if between == ";" else each for each in scores], between)],
            folder,
        )
        rows = written(folder / "scores.jsonl")
    assert [(row["prompt"], row["response"], row["score"], row["source"]) for row in rows] == [
        (item.prompt, item.response, score, item.source) for item, score in zip(items, scores, strict=True)
    ]
    assert told.num_scores == {"a": len(items)}


def test_a_heading_may_hold_what_stands_between_others(tmp_path: Path) -> None:
    folder = put(tmp_path, FOUR)
    path = filled(folder, "a.csv", ["1,5", 2, 3, 4], ";")
    head, _, rest = path.read_text(encoding="utf-8").partition("\n")
    path.write_text(f"{head.rstrip()};Notes (a, b, c, d, e)\n{rest}", encoding="utf-8")
    assert read(folder, [path], tmp_path / "out").num_scores == {"a": 4}


def test_several_raters_are_averaged_and_compared(tmp_path: Path) -> None:
    folder = put(tmp_path, FOUR)
    files = [filled(folder, "a.csv", [1, 2, 3, ""]), filled(folder, "b.csv", ["2", " 4.5 ", "", 10])]
    told = read(folder, files, tmp_path / "out", num_held=1, seed=1)
    rows = written(tmp_path / "out" / "scores.jsonl") + written(tmp_path / "out" / "heldout.jsonl")
    assert {row["source"]: (row["score"], row["num_raters"]) for row in rows} == {
        "respond-x-0": (1.5, 2),
        "respond-x-1": (3.25, 2),
        "respond-x-2": (3, 1),
        "respond-x-3": (10, 1),
    }
    learnt, held = (
        {row["prompt"] for row in written(tmp_path / "out" / f"{name}.jsonl")} for name in ("scores", "heldout")
    )
    assert len(held) == 1
    assert not learnt & held
    [pair] = told.agreements
    assert (pair.one, pair.other, pair.num_rows, pair.mean_difference) == ("a", "b", 2, 1.75)
    manifest = run(
        "ingest",
        IngestRows(kind="scores", source="scores.jsonl"),
        {},
        open_store(str(tmp_path / "s")),
        base=tmp_path / "out",
    )
    assert manifest.num_rows == told.num_rows["scores.jsonl"]
    with pytest.raises(ConfigError, match=r"--held-out 3: there are 3 prompts"):
        read(folder, files, tmp_path / "other", num_held=3)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=30), st.sampled_from([1, 2]))
def test_agreement_is_that_of_the_books(pairs: list[tuple[int, int]], parts: int) -> None:
    a, b = (np.array([min(pair[side], 10 * parts) / parts for pair in pairs]) for side in (0, 1))
    [found] = agreements({name: dict(enumerate(map(float, each))) for name, each in (("a", a), ("b", b))})
    chance = ((a[:, None] - b[None]) ** 2).mean()
    if chance:
        assert found.kappa == pytest.approx(1 - ((a - b) ** 2).mean() / chance)
    else:
        assert found.kappa is None
    if np.ptp(a) and np.ptp(b):
        assert found.pearson == pytest.approx(np.corrcoef(a, b)[0, 1])
        assert -1.0001 <= found.spearman <= 1.0001  # type: ignore[operator]
    else:
        assert found.pearson is None is found.spearman
    assert found.mean_difference == pytest.approx(np.abs(a - b).mean())


def argilla(item: Item, **given: Any) -> dict[str, Any]:
    """A record as argilla 2.8.0 exported it."""
    responses = {"score": [{"value": score, "user_id": user} for user, score in given.items()]}
    fields = {"prompt": item.prompt, "response": item.response}
    rest = {"metadata": {}, "suggestions": {}, "vectors": {}, "status": "pending", "_server_id": None}
    return {"id": item.id, "fields": fields, "responses": responses, **rest}


def argilla_flat(item: Item, **given: Any) -> dict[str, Any]:
    texts = {"id": item.id, "status": "pending", "_server_id": None, "prompt": item.prompt, "response": item.response}
    given |= {"drafting": 0}
    states = ["draft" if user == "drafting" else "submitted" for user in given]
    flat = {"": list(given.values()), ".users": list(given), ".status": states}
    return texts | {f"score.responses{name}": each for name, each in flat.items()}


def label_studio(item: Item, **given: Any) -> dict[str, Any]:
    """A task as Label Studio exports it; one annotator has skipped it."""
    annotations = [
        {
            "id": place,
            "completed_by": {"id": place, "email": user},
            "was_cancelled": False,
            "result": [{"from_name": "score", "to_name": "response", "type": "number", "value": {"number": score}}],
        }
        for place, (user, score) in enumerate(given.items())
    ]
    skipped = {"id": 9, "completed_by": 9, "was_cancelled": True, "result": []}
    data = {"row_id": item.id, "prompt": item.prompt, "response": item.response}
    return {"id": 5, "data": data, "annotations": [*annotations, skipped]}


def label_studio_min(item: Item, **given: Any) -> list[dict[str, Any]]:
    """Objects as label-studio-sdk 2.1.2 made them of such a task."""
    data = {"row_id": item.id, "prompt": item.prompt, "response": item.response, "id": 5}
    return [
        data | {"score": [{"number": score}], "annotator": user, "annotation_id": 9, "lead_time": None}
        for user, score in given.items()
    ]


@pytest.mark.parametrize("tool", [argilla, argilla_flat, label_studio, label_studio_min])
@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_what_tools_export_is_read(tmp_path: Path, tool: Any, suffix: str) -> None:
    folder = put(tmp_path, FOUR)
    rows: list[Any] = []
    for place, item in enumerate(FOUR):
        made = tool(item, ann=place, bob=place + 2)
        rows += made if isinstance(made, list) else [made]
    path = tmp_path / f"export.{suffix}"
    path.write_text(json.dumps(rows, indent=1) if suffix == "json" else "".join(json.dumps(row) + "\n" for row in rows))
    told = read(folder, [path], tmp_path / "out")
    assert [row["score"] for row in written(tmp_path / "out" / "scores.jsonl")] == [1, 2, 3, 4]
    assert list(told.num_scores.values()) == [4, 4]
    assert {name.split()[1] for name in told.num_scores} == {"ann", "bob"}
    assert told.agreements[0].mean_difference == 2
    assert told.agreements[0].pearson == pytest.approx(1)


BAD: dict[str, tuple[Any, list[str]]] = {
    "outside": ([1, 11, 2, 3], ["a.csv line 3: score is '11'; the scale is 0", "write a number from 0 to 10"]),
    "no number": ([1, "good", 2, 3], ["a.csv line 3: score is 'good', and not a number"]),
    "infinite": ([1, "inf", "nan", 3], ["a.csv line 3: score is 'inf'", "a.csv line 4: score is 'nan'"]),
    "missing": ([1, "", 2, ""], ["2 of 4 rows have no score: ", "a.csv line 3", "a.csv line 5", "--partial"]),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_scores_are_told_by_line(tmp_path: Path, name: str) -> None:
    scores, said = BAD[name]
    folder = put(tmp_path, FOUR)
    with pytest.raises(DataError) as told:
        read(folder, [filled(folder, "a.csv", scores)], tmp_path / "out")
    for part in said:
        assert part in str(told.value)
    assert not (tmp_path / "out").exists()


def test_partly_filled_sheets_are_taken_where_one_says_so(tmp_path: Path) -> None:
    folder = put(tmp_path, FOUR)
    told = read(folder, [filled(folder, "a.csv", [1, "", 2, ""])], tmp_path / "out", partial=True)
    assert (told.num_rows, told.num_missing) == ({"scores.jsonl": 2}, 2)
    with pytest.raises(DataError, match="there is no score in these files"):
        read(folder, [filled(folder, "a.csv", [""] * 4)], tmp_path / "out", partial=True)


SPOILT = {
    "changed text": (("=answer 1", "=answer one"), r"a\.csv line 3: response is .*=answer one.* and was '=answer 1'"),
    "changed id": ((FOUR[0].id, "r-0"), r"a\.csv line 2: row_id 'r-0' is none of the key's"),
    "twice": ((FOUR[1].id, FOUR[0].id), r"a\.csv line 3: row_id r-.* of a stands in .*a\.csv line 2 too"),
    "no column": (("row_id", "id"), r"a\.csv line 1: the columns are prompt, response, score, id; .*row_id"),
    "torn": (("'prompt 1,", '"prompt 1,'), r"a\.csv line \d: not CSV"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_sheet_that_was_spoilt_is_told_by_line(tmp_path: Path, name: str) -> None:
    (old, new), said = SPOILT[name]
    folder = put(tmp_path, FOUR)
    path = filled(folder, "a.csv", [1, 2, 3, 4])
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=said):
        read(folder, [path], tmp_path / "out")


def test_a_score_whose_comma_parts_it_is_told_by_line(tmp_path: Path) -> None:
    folder = put(tmp_path, FOUR[:1])
    (item,) = FOUR[:1]
    path = tmp_path / "a.csv"
    for end, num_read in ((",7", 1), (",7,,", 1), (",7,5", 0)):
        path.write_text(f"row_id,prompt,response,score\n{item.id},{cell(item.prompt)},{cell(item.response)}{end}\n")
        if num_read:
            assert read(folder, [path], tmp_path / "out").num_rows == {"scores.jsonl": 1}
        else:
            with pytest.raises(DataError, match=r"a\.csv line 2: has 5 cells where the first line has 4; .*7\.5"):
                read(folder, [path], tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "prompt,response,score,row_id\nä,b,1,c\n".encode("cp1252"), "not UTF-8; save it as CSV UTF-8"),
        ("a.json", b'[{"prompt": "x"}]', r"a\.json line 1: .* is no row of a sheet"),
        ("a.json", b'[{"fields": {}, "responses": [1]}]', r"a\.json line 1: .*not as exported"),
        ("a.json", b'[{"data": {}, "annotations": 3}]', r"a\.json line 1: .*not as exported"),
        ("a.jsonl", b'{"data": \n', r"a\.jsonl line 1: not JSON"),
        ("a.txt", b"x", "rows are read from"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    folder = put(tmp_path, FOUR)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read(folder, [tmp_path / name], tmp_path / "out")


def test_the_key_is_trusted_only_as_it_was_written(tmp_path: Path) -> None:
    folder = put(tmp_path, FOUR)
    path = filled(folder, "a.csv", [1, 2, 3, 4])
    text = (folder / "key.jsonl").read_text()
    (folder / "key.jsonl").write_text(text.replace("answer 2", "answer two"))
    with pytest.raises(DataError, match=r"key\.jsonl line 3: .* is not as it was written"):
        read(folder, [path], tmp_path / "out")
    for text_now, other in (
        ('"checkpoint": "a"', '"checkpoint": []'),
        ('"source": ', '"source": 5, "x": '),
        ('"earlier": null', '"earlier": [{"role": 5, "content": "x"}]'),
    ):
        assert text_now in text
        (folder / "key.jsonl").write_text(text.replace(text_now, other, 1))
        with pytest.raises(DataError, match=r"key\.jsonl line 1: .* is not as it was written"):
            read(folder, [path], tmp_path / "out")
    (folder / "key.jsonl").unlink()
    with pytest.raises(DataError, match=r"key\.jsonl: no such file; give the folder that alma sheet write left"):
        read(folder, [path], tmp_path / "out")


@given(seed=st.integers(0, 5), order=st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_every_checkpoint_is_asked_about_alike(seed: int, order: random.Random) -> None:
    items = [
        Item(f"p{prompt}", f"{checkpoint} {sample}", f"row {prompt}-{sample}", checkpoint)
        for prompt in range(6)
        for checkpoint in ("first", "second")
        for sample in range(3)
    ]
    drawn = draw([*items, Item("p0", " ", "empty")], 4, 4, seed)
    assert Counter((item.prompt, item.checkpoint) for item in drawn.items) == dict.fromkeys(
        {(item.prompt, item.checkpoint) for item in drawn.items}, 2
    )
    assert (len(drawn.items), drawn.num_unusable) == (16, 1)
    order.shuffle(items)
    assert draw(items, 4, 4, seed).items == drawn.items
    with pytest.raises(ConfigError, match="--prompts 7: there are 6 prompts"):
        draw(items, 7, 1, seed)


def test_a_conversation_is_shown_whole_and_comes_back_as_turns(tmp_path: Path) -> None:
    turns = [("system", "Be kind."), ("user", "Hi."), ("assistant", "Hello."), ("user", "More?"), ("assistant", "No.")]
    row = {"messages": [{"role": role, "content": content} for role, content in turns]}
    (tmp_path / "rows.jsonl").write_text(
        json.dumps(row) + "\n" + json.dumps({"prompt": "Hi.", "response": "=1"}) + "\n"
    )
    folder = tmp_path / "sheets"
    write(str(tmp_path / "rows.jsonl"), folder, store_uri="store", num_prompts=2)
    shown = (folder / "sheet.csv").read_text(encoding="utf-8")
    assert "System: Be kind.\n\nUser: Hi.\n\nAssistant: Hello.\n\nUser: More?" in shown
    read(folder, [filled(folder, "a.csv", [7, 7])], tmp_path)
    told = next(row for row in written(tmp_path / "scores.jsonl") if "messages" in row)
    assert told["messages"] == row["messages"]
    section = IngestRows(kind="scores", source="scores.jsonl", turns="all")
    store = open_store(str(tmp_path / "store"))
    taken = Artifact.open(store, run("ingest", section, {}, store, base=tmp_path).ref)
    assert isinstance(taken, Rows)
    by_prompt = {row["prompt"]: row for row in taken.table().to_pylist()}
    assert (by_prompt["More?"]["response"], len(by_prompt["More?"]["earlier"])) == ("No.", 3)
    assert (by_prompt["Hi."]["response"], by_prompt["Hi."]["earlier"]) == ("=1", None)


def test_responses_are_found_by_every_name(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{place % 5}", "response": f"r{place}", "score": 1} for place in range(10)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    uri = str(tmp_path / "store")
    store = open_store(uri)
    ref = run("ingest", IngestRows(kind="scores", source="rows.jsonl"), {}, store, base=tmp_path).ref
    prompts = run("ingest", IngestRows(kind="prompts", source="rows.jsonl"), {}, store, base=tmp_path).ref
    journal.mark_sealed(store, "mine-01234567", {"judge · respond": ref, "other": prompts})
    names = (
        str(ref),
        f"{uri}/{ref}/parts",
        "mine-01234567",
        "mine-01234567:Judge respond",
        str(tmp_path / "rows.jsonl"),
    )
    found = [responses(name, uri) for name in names]
    assert all(
        [(item.id, item.prompt) for item in each] == [(item.id, item.prompt) for item in found[0][1]]
        for _, each in found
    )
    assert found[0][1][0].source == f"ingest-{ref.key}-0"
    assert found[-1][1][3].source == "rows.jsonl line 4"
    (tmp_path / "mine.jsonl").write_text('{"prompt": "a", "response": "b"}\n{"prompt": "c", "response": ""}\n')
    for name, said in [
        (
            str(tmp_path / "mine.jsonl"),
            f"{tmp_path}/mine.jsonl line 2: response is empty: ''; mend the row or leave it out",
        ),
        (str(prompts), "has no prompts with responses; it holds evaluation_prompt"),
        ("mine-01234567:round 02", "has not sealed 'round 02'"),
        ("yours", "'yours' names no responses: .*runs there: mine-01234567"),
        (str(tmp_path / "no.csv"), "No such file"),
    ]:
        with pytest.raises((ConfigError, DataError, FileNotFoundError), match=said):
            responses(name, uri)


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": f"p{place % 5}", "response": f"r{place}"} for place in range(10)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "sheets"
    words = ["sheet", "write", str(tmp_path / "rows.jsonl"), str(folder), "--prompts", "4"]
    with pytest.raises(SystemExit, match="0"):
        main(words)
    assert "8 responses to 4 prompts of rows.jsonl, shuffled" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "exists already; give a new folder" in capsys.readouterr().err
    for name in ("ann", "bob"):
        filled(folder, f"{name}.csv", list(range(8)))
    files = [str(folder / "ann.csv"), str(folder / "bob.csv")]
    with pytest.raises(SystemExit, match="0"):
        main(["sheet", "read", str(folder), *files, "--out", str(tmp_path / "out")])
    told = capsys.readouterr().out
    assert "quadratic-weighted kappa" in told
    assert f"8 rows in {tmp_path}/out/scores.jsonl (scores: ann 8, bob 8)" in told


def test_raters_see_no_checkpoint_and_read_the_papers_scale(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{place}", "response": f"r{place}"} for place in range(3)]
    (tmp_path / "secret.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = write(str(tmp_path / "secret.jsonl"), tmp_path / "sheets", store_uri="store", num_prompts=3, num_raters=2)
    configured = json.loads((tmp_path / "sheets" / "argilla" / ".argilla" / "settings.json").read_text())
    assert configured["distribution"]["min_submitted"] == 2
    names = {path.relative_to(tmp_path / "sheets").as_posix() for path in done.files}
    assert names == {
        *("guidelines.txt", "sheet.csv", "key.jsonl", "argilla/records.json", "argilla/.argilla/settings.json"),
        *("argilla/.argilla/dataset.json", "label-studio/tasks.json", "label-studio/interface.xml"),
    }
    assert [path.name for path in done.files if "secret" in path.read_text()] == ["key.jsonl"]
    for criterion in ("helpfulness", "relevance", "accuracy", "depth", "creativity", "level of detail"):
        assert criterion in JUDGE_TEMPLATE
        assert criterion in GUIDELINES
    for word in ("unusable", "average", "outstanding"):
        assert word in JUDGE_TEMPLATE
        assert word in GUIDELINES
