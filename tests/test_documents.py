"""What documents point at is there: files, headings, and the paths that they name."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "docs", "examples", "images", "tests")
DOCUMENTS = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
PACKAGES = [
    *(ROOT / "alma").glob("**/__init__.py"),
    *(path for room in ("cluster", "components", "pipelines") for path in (ROOT / room).glob("**/__init__.py")),
]
WRITTEN_BY_READERS = {"manifests/components/s3-secret/s3.env"}
# With an ending or a slash: "alma/run" is a pod's label.
NAMED = re.compile(rf"`((?:alma|cluster|components|hack|manifests|pipelines|{'|'.join(FOLDERS)})/[\w./-]*(?:\.\w+|/))`")


def prose(path: Path) -> str:
    """Without blocks of code, in which anything may stand."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The names that GitHub gives headings: lower case, words joined by dashes, other signs left out."""
    headings = re.findall(r"^#+ (.*)$", prose(path), flags=re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", each) for each in headings]
    return {re.sub(r"[^\w\- ]", "", each.strip().lower()).replace(" ", "-") for each in plain}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    links = [each for each in re.findall(r"\]\(([^)\s]+)\)", prose(document)) if not re.match(r"[a-z]+:", each)]
    for link in links:
        name, _, heading = link.partition("#")
        there = document.parent / name if name else document
        assert there.exists(), link
        assert not heading or heading in anchors(there), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_that_is_named_is_there(document: Path) -> None:
    missing = {each for each in NAMED.findall(prose(document)) if not (ROOT / each).exists()}
    assert missing <= WRITTEN_BY_READERS


def test_the_architecture_names_every_room() -> None:
    rooms = [path for path in (ROOT / "alma").iterdir() if not path.name.startswith(("_", ".", "py.typed"))]
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {word for each in re.findall(r"`alma/([^`]+)`", text) for word in each.split()}
    assert {path.stem for path in rooms} <= named


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_the_table_of_a_package_names_all_its_files(package: Path) -> None:
    said = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
    files = {path.stem for path in package.parent.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    named = {word.replace("-", "_") for word in re.findall(r"[\w-]+", said)}
    has_table = re.search(r"^(::|=====)", said, flags=re.MULTILINE)
    assert not has_table or {name for name in files if not name.startswith("__")} <= named


def test_the_documents_are_found() -> None:
    assert {"README.md", "architecture.md", "results.md"} <= {path.name for path in DOCUMENTS}
    assert {"the-life-of-an-artifact", "words"} <= anchors(ROOT / "docs" / "architecture.md")
