"""Keys, ids, parts, manifests: what makes an artifact whole and what makes it refused."""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma.artifact import Artifact, Folder, Ref, Rows, artifact_key, find_manifest, parse_row_id, row_id
from alma.artifact.digest import folder_name
from alma.artifact.out import Out
from alma.artifact.parts import Part
from alma.artifact.records import PAIR, PROMPT
from alma.artifact.tables import read_part
from alma.errors import ConfigError, DataError, IntegrityError, InternalError, Stopped
from alma.store import Store, open_store
from tests.builders import sealed

REF = sealed.named("curate", "rows")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def prompts(start: int, stop: int) -> list[dict[str, str]]:
    return [{"id": row_id(REF, i), "candidate_id": f"c{i}", "prompt": f"prompt {i}"} for i in range(start, stop)]


def publish(store: Store, scratch: Path, num_rows: int, part_rows: int, *, stop_after: int | None = None) -> Rows:
    out = Out(store, REF, scratch)
    for part, _ in out.each(num_rows, part_rows, "rows"):
        if part.number == stop_after:
            raise KeyboardInterrupt
        out.publish(part, "prompt", prompts(part.start, part.stop), {"num_chars": part.stop - part.start})
    return seal(out)


def seal(out: Out) -> Rows:
    manifest = sealed.seal(out, "rows", {"x": 1.5})
    rows = Artifact.open(out.store, manifest.ref)
    assert isinstance(rows, Rows)
    return rows


@given(section=st.dictionaries(st.text(), json_values, max_size=4), seed=st.randoms())
def test_a_key_does_not_depend_on_the_order_of_settings(section, seed) -> None:
    items = list(section.items())
    seed.shuffle(items)
    assert artifact_key("judge", 1, section, {}, {}) == artifact_key("judge", 1, dict(items), {}, {})


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("select", 1, {"a": 1}, {"x": "y"}, {"sha256": "0"}), id="stage"),
        pytest.param(("judge", 2, {"a": 1}, {"x": "y"}, {"sha256": "0"}), id="version"),
        pytest.param(("judge", 1, {"a": 1.5}, {"x": "y"}, {"sha256": "0"}), id="setting"),
        pytest.param(("judge", 1, {"a": 1}, {"z": "y"}, {"sha256": "0"}), id="port"),
        pytest.param(("judge", 1, {"a": 1}, {"x": "w"}, {"sha256": "0"}), id="input"),
        pytest.param(("judge", 1, {"a": 1}, {"x": "y"}, {"sha256": "1"}), id="source"),
    ],
)
def test_a_key_depends_on_everything_the_content_follows_from(other) -> None:
    assert artifact_key("judge", 1, {"a": 1}, {"x": "y"}, {"sha256": "0"}) != artifact_key(*other)


def test_a_known_key_stays() -> None:
    """Keys name the artifacts that people have: a change here makes every store forget its work."""
    assert artifact_key("judge", 1, {"a": "é"}, {"x": "y"}, {}) == "a0edea30fafa3070e7e2"


@given(index=st.integers(min_value=0, max_value=10**12), key=st.text("0123456789abcdef", min_size=20, max_size=20))
def test_row_ids_read_back(index: int, key: str) -> None:
    ref = Ref("respond", key)
    assert parse_row_id(row_id(ref, index)) == (ref, index)
    assert Ref.parse(str(ref)) == ref


@pytest.mark.parametrize(
    "text",
    [
        "",
        "respond",
        "respond/xyz",
        "../0123456789abcdef0123",
        "respond-0123456789abcdef0123-x",
        f"respond-0123456789abcdef0123-{'9' * 5000}",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="look like"):
        parse_row_id(text)
    with pytest.raises(DataError, match="look like"):
        Ref.parse(text)


def test_rows_come_back_in_order_and_by_range(store_uri: str, tmp_path: Path) -> None:
    rows = publish(open_store(store_uri), tmp_path / "scratch", 10, 4)
    assert len(rows) == 10
    assert [f.rows for f in rows.manifest.files] == [4, 4, 2]
    assert rows.table(["prompt"])["prompt"].to_pylist() == [f"prompt {i}" for i in range(10)]
    assert rows.table(["prompt"], 3, 9)["prompt"].to_pylist() == [f"prompt {i}" for i in range(3, 9)]
    assert rows.table(start=10).num_rows == 0
    assert rows.metrics == {"num_chars": 10, "x": 1.5}
    assert rows.cost is not None
    assert rows.cost.seconds >= 0


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_an_interrupted_artifact_goes_on_and_ends_equal(store_uri: str, tmp_path: Path, stop_after: int) -> None:
    store = open_store(store_uri)
    with pytest.raises(KeyboardInterrupt):
        publish(store, tmp_path / "scratch", 10, 4, stop_after=stop_after)
    assert find_manifest(store, REF) is None
    pending, done = Out(store, REF, tmp_path / "scratch").parts(10, 4)
    assert (len(pending), done) == (3 - stop_after, 4 * stop_after)
    resumed = publish(store, tmp_path / "scratch", 10, 4).manifest.to_bytes()
    undisturbed = publish(open_store(str(tmp_path / "other")), tmp_path / "scratch2", 10, 4).manifest.to_bytes()
    assert resumed == undisturbed


def test_a_part_without_its_statement_is_not_published(store_uri: str, tmp_path: Path) -> None:
    store = open_store(store_uri)
    store.write(f"{REF}/parts/00000-0123456789abcdef.parquet", b"half of a part")
    pending, done = Out(store, REF, tmp_path).parts(8, 4)
    assert (len(pending), done) == (2, 0)


def test_a_stop_is_heard_between_parts(tmp_path: Path) -> None:
    out = Out(open_store(str(tmp_path / "store")), REF, tmp_path / "scratch", stopping=lambda: True)
    with pytest.raises(Stopped, match="run again"):
        next(out.each(4, 2, "rows"))


def test_more_parts_than_can_be_kept_track_of_are_refused(tmp_path: Path) -> None:
    out = Out(open_store(str(tmp_path / "store")), REF, tmp_path / "scratch")
    with pytest.raises(ConfigError, match=r"rows in parts of 2 are more than 1,000,000 parts; raise part_rows"):
        out.parts(2**63 - 1, 2)


def test_rows_that_do_not_fit_their_schema_are_refused(tmp_path: Path) -> None:
    out = Out(open_store(str(tmp_path / "store")), REF, tmp_path / "scratch")
    (part, *_), _ = out.parts(1, 1)
    with pytest.raises((pa.ArrowInvalid, ValueError)):
        out.publish(part, "prompt", [{"id": "a", "candidate_id": "b", "prompt": None}])


def test_a_file_that_is_older_than_a_column_has_nulls_there(tmp_path: Path) -> None:
    path, row = tmp_path / "old.parquet", {"id": "a", "source_id": "1", "prompt": "p", "response": "r"}
    pq.write_table(pa.Table.from_pylist([row]), path)
    assert read_part(path, "pair").to_pylist() == [row | {"earlier": None}]
    told = read_part(path, "pair", ["earlier", "prompt"])
    assert told.schema.equals(pa.schema([PAIR.field("earlier"), pa.field("prompt", pa.string())]))
    new = row | {"earlier": [{"role": "user", "content": "before"}]}
    pq.write_table(pa.Table.from_pylist([new], schema=PAIR), path)
    assert read_part(path, "pair", ["earlier"]).to_pylist() == [{"earlier": new["earlier"]}]
    with pytest.raises(pa.ArrowInvalid, match="vector"):
        read_part(path, "pair", ["vector"])


def test_rows_that_were_never_laid_out_are_not_sealed(tmp_path: Path) -> None:
    """Else a stage that publishes without a layout would leave an empty artifact, sealed for ever."""
    out = Out(open_store(str(tmp_path / "store")), REF, tmp_path / "scratch")
    out.publish(Part(0, 0, 2), "prompt", prompts(0, 2))
    with pytest.raises(InternalError, match=f"{REF}: the stage laid out no parts"):
        seal(out)
    assert find_manifest(out.store, REF) is None


def test_an_empty_artifact_has_its_schema(tmp_path: Path) -> None:
    out = Out(open_store(str(tmp_path / "store")), REF, tmp_path / "scratch")
    out.write(PROMPT.empty_table(), "prompt", 10)
    assert seal(out).table().schema == PROMPT


@pytest.mark.parametrize("change", [b"x", b""], ids=["altered", "emptied"])
def test_an_altered_part_is_refused(tmp_path: Path, change: bytes) -> None:
    store = open_store(str(tmp_path / "store"))
    rows = publish(store, tmp_path / "scratch", 4, 4)
    (part,) = (tmp_path / "store" / str(REF) / "parts").glob("00000-*.parquet")
    part.write_bytes((part.read_bytes()[:-1] + change) if change else b"")
    folder = tmp_path / "store" / str(REF)
    said = rf"00000-[0-9a-f]{{16}}\.parquet.*manifest says.*remove the folder {folder} and run"
    with pytest.raises(IntegrityError, match=said):
        rows.table()
    shutil.rmtree(folder)  # as it says: nothing of the artifact is left that would say that it is whole
    assert find_manifest(store, REF) is None


def test_a_missing_part_is_refused(tmp_path: Path) -> None:
    rows = publish(open_store(str(tmp_path / "store")), tmp_path / "scratch", 4, 4)
    (part,) = (tmp_path / "store" / str(REF) / "parts").glob("00000-*.parquet")
    part.unlink()
    with pytest.raises(IntegrityError, match="is missing"):
        rows.table()


def test_a_damaged_cache_is_fetched_again(s3_store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMA_CACHE", str(tmp_path / "cache"))
    rows = publish(open_store(s3_store_uri), tmp_path / "scratch", 4, 4)
    before = rows.table()
    (cached,) = (tmp_path / "cache").rglob("00000-*.parquet")
    cached.write_bytes(b"damaged")
    assert rows.table() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "Invalid JSON"), (b"{}", "stage: is required"), (b'{"stage": 1}', r"stage: .* valid string \(it is 1\)")],
)
def test_a_broken_manifest_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    store = open_store(str(tmp_path / "store"))
    store.write(f"{REF}/manifest.json", content)
    with pytest.raises(IntegrityError, match=rf"manifest\.json is not a manifest: {said}"):
        find_manifest(store, REF)


def test_the_manifest_of_another_artifact_is_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    publish(store, tmp_path / "scratch", 4, 4)
    other = Ref("curate", "f" * 20)
    store.write(f"{other}/manifest.json", store.read(f"{REF}/manifest.json"))
    with pytest.raises(IntegrityError, match="is that of"):
        find_manifest(store, other)


def test_folders_come_back_as_they_were(store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMA_CACHE", str(tmp_path / "cache"))
    out = Out(open_store(store_uri), sealed.named("finetune", "model"), tmp_path / "scratch")
    (out.folder / "config.json").write_text("{}")
    (out.folder / "deep").mkdir()
    (out.folder / "deep" / "x.txt").write_text("x")
    manifest = sealed.seal(out, "model")
    folder = Artifact.open(open_store(store_uri), manifest.ref).folder
    assert (folder / "config.json").read_text() == "{}"
    assert (folder / "deep" / "x.txt").read_text() == "x"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("schema_name", "~nosuchuser", "'~nosuchuser' is no kind of rows"),
        ("num_rows", 8, "its files hold 7 rows, and num_rows is 8"),
        ("name", "ftp://x", "'ftp://x' is no file's name"),
        ("rows", -4, "num_rows is 7"),
        ("metrics", {"num_chars": 10**400}, "its metric 'num_chars' is beyond"),
    ],
)
def test_an_altered_manifest_is_refused(tmp_path: Path, field: str, value: object, said: str) -> None:
    store = open_store(str(tmp_path / "store"))
    publish(store, tmp_path / "scratch", 7, 4)
    manifest = json.loads(store.read(f"{REF}/manifest.json"))
    place = manifest if field in manifest else manifest["files"][0]
    place[field] = value
    store.write(f"{REF}/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(IntegrityError, match=rf"was altered \(.*{said}.*remove the artifact's folder"):
        find_manifest(store, REF)


def test_more_rows_than_python_can_count_are_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    publish(store, tmp_path / "scratch", 7, 7)
    manifest = json.loads(store.read(f"{REF}/manifest.json"))
    manifest["num_rows"] = manifest["files"][0]["rows"] = 10**30
    store.write(f"{REF}/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(IntegrityError, match="it states more than"):
        find_manifest(store, REF)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": 9}, r"states 9 prompt rows of .*, which has 7 rows; remove the artifact's folder"),
        ({"schema_name": "pair"}, r"states 7 pair rows of .*, which has no column 'source_id'; remove"),
    ],
)
def test_rows_that_are_not_as_the_manifest_states_are_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    store = open_store(str(tmp_path / "store"))
    publish(store, tmp_path / "scratch", 7, 7)
    manifest = json.loads(store.read(f"{REF}/manifest.json"))
    if "rows" in changes:
        manifest["num_rows"] = manifest["files"][0]["rows"] = changes["rows"]
    else:
        manifest |= changes
    store.write(f"{REF}/manifest.json", json.dumps(manifest).encode())
    rows = Artifact.open(store, REF)
    assert isinstance(rows, Rows)
    with pytest.raises(IntegrityError, match=said):
        rows.table()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("section", {"max_rouge": 0.8}, "settings, inputs and sources are those of finetune/"),
        ("section", {"max_rouge": float("nan")}, "settings are no JSON"),
        ("inputs", {"model": f"ingest/{'1' * 20}"}, "settings, inputs and sources are those of finetune/"),
        ("inputs", {}, "settings, inputs and sources are those of finetune/"),
        ("identity", {"name": "other"}, "settings, inputs and sources are those of finetune/"),
        ("version", 2, "settings, inputs and sources are those of finetune/"),
        ("stage", "select", "settings, inputs and sources are those of select/"),
        ("key", "1" * 20, "settings, inputs and sources are those of finetune/"),
    ],
)
def test_a_manifest_of_other_work_than_its_key_says_is_refused(
    tmp_path: Path, field: str, value: object, said: str
) -> None:
    store = open_store(str(tmp_path / "store"))
    ref = sealed.named("finetune", "model", section={"max_rouge": 0.7}, inputs={"model": f"ingest/{'0' * 20}"})
    sealed.seal(Out(store, ref, tmp_path / "scratch"), "model")
    assert find_manifest(store, ref) is not None
    manifest = json.loads(store.read(f"{ref}/manifest.json")) | {field: value}
    store.write(f"{ref}/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(IntegrityError, match=rf"was altered \(its {said}.*remove the artifact's folder and run again"):
        Artifact.open(store, ref)


@given(section=st.dictionaries(st.text(), json_values, max_size=4), text=st.text())
def test_whatever_the_settings_are_a_manifest_fits_its_key(section: dict[str, Any], text: str) -> None:
    """Floats, long numbers and characters are read as they were written."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        out = Out(store, sealed.named("curate", text, section=section, inputs={text: text}), Path(folder, ".scratch"))
        out.write(PROMPT.empty_table(), "prompt", 10)
        written = sealed.seal(out, "rows")
        assert find_manifest(store, out.ref) == written


def beside(files: list[dict[str, Any]]) -> None:
    """As first it names what lies beside the artifact's files: the folder would be that of the store's stage."""
    files.insert(0, {"name": "cost.json", "size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()})


def above(files: list[dict[str, Any]]) -> None:
    files[0]["name"] = files[0]["name"].rpartition("/")[2]


def deeper(files: list[dict[str, Any]]) -> None:
    for file in files:
        file["name"] = f"files/{file['name']}"


def of_another(files: list[dict[str, Any]]) -> None:
    files.append(files[0] | {"name": "files/0123456789abcdef/config.json"})


def all_of_another(files: list[dict[str, Any]]) -> None:
    for file in files:
        file["name"] = f"files/0123456789abcdef/{file['name'].split('/', 2)[2]}"


def renamed(files: list[dict[str, Any]]) -> None:
    files[0]["name"] += ".old"


def other_hash(files: list[dict[str, Any]]) -> None:
    files[1]["sha256"] = "0" * 64


@pytest.mark.parametrize("kind", ["model", "page"])
@pytest.mark.parametrize(
    "alter", [beside, above, deeper, of_another, all_of_another, renamed, other_hash, list.pop, list.reverse]
)
def test_a_folder_of_other_files_than_its_name_says_is_refused(tmp_path: Path, kind: Any, alter: Any) -> None:
    store = open_store(str(tmp_path / "store"))
    out = Out(store, sealed.named("finetune", "model"), tmp_path / "scratch")
    (out.folder / "deep").mkdir()
    for name in ("config.json", "deep/x.txt", "deep.txt"):  # as paths these are in another order than as texts
        (out.folder / name).write_text(name)
    sealed.seal(out, kind)
    artifact = Artifact.open(store, out.ref)
    assert isinstance(artifact, Folder)
    assert sorted(path.name for path in artifact.folder.iterdir()) == ["config.json", "deep", "deep.txt"]
    manifest = json.loads(store.read(f"{out.ref}/manifest.json"))
    alter(manifest["files"])
    store.write(f"{out.ref}/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(
        IntegrityError, match=r"was altered \(its files are not those of .*remove the artifact's folder"
    ):
        Artifact.open(store, out.ref)


def test_a_folder_without_files_is_said_to_be_empty(tmp_path: Path) -> None:
    out = Out(open_store(str(tmp_path / "store")), sealed.named("finetune", "model"), tmp_path / "scratch")
    sealed.seal(out, "model")
    artifact = Artifact.open(out.store, out.ref)
    assert isinstance(artifact, Folder)
    with pytest.raises(DataError, match="is empty; remove its folder and run again"):
        artifact.folder  # noqa: B018


def test_a_known_folder_name_stays() -> None:
    """The folders that people's models lie in are named so."""
    assert folder_name([("config.json", "0" * 64), ("deep/é.txt", "1" * 64)]) == "files/25747bcf4e105053"


def test_equal_manifests_are_equal_bytes(tmp_path: Path) -> None:
    rows = publish(open_store(str(tmp_path / "store")), tmp_path / "scratch", 4, 2)
    again = type(rows.manifest).model_validate(json.loads(rows.manifest.to_bytes()))
    assert again.to_bytes() == rows.manifest.to_bytes()
    assert "seconds" not in rows.manifest.to_bytes().decode()
