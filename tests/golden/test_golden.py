"""What is generated and committed: reference pages and the graph of the recipe. ``make golden`` writes them anew."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alma.config import load
from alma.recipes import recipe_of
from pipelines.compile import COMPILED, GOLDEN, documents, write_golden
from pipelines.size import estimate

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


def pages() -> dict[str, Callable[[], str]]:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.PAGES)


OWN = ("seed", "first_prompt", "round", "iteration", "num_attempts", "learning_rate", "arm", "repeat")
"""Fields that a recipe may set."""


def graph(run_file: Path) -> str:
    """A line per step: label, stage, inputs by label, and the settings that the recipe itself sets."""
    steps = []

    def do(stage: str, section: Any, *, label: str, **inputs: Any) -> str:
        given = {port: source for port, source in inputs.items() if source}
        own = {k: v for k, v in section.model_dump().items() if k in OWN}
        steps.append({"label": label, "stage": stage, "inputs": given, "settings": own})
        return label

    cfg = load(run_file)
    recipe_of(cfg)(cfg, do)
    return "".join(json.dumps(step, ensure_ascii=False) + "\n" for step in steps)


def check(request: pytest.FixtureRequest, path: Path, text: str) -> None:
    if request.config.getoption("--regenerate-golden"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{path} is out of date; make golden, then look at git diff"


@pytest.mark.parametrize("name", ["commands.md", "settings.md"])
def test_reference_pages_are_up_to_date(request: pytest.FixtureRequest, monkeypatch: Any, name: str) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    check(request, ROOT / "docs" / name, pages()[name]())


@pytest.mark.parametrize("name", ["micro", "isara-micro"])
def test_the_graph_of_the_micro_run(request: pytest.FixtureRequest, name: str) -> None:
    check(request, HERE / f"{name.replace('-', '_')}_graph.jsonl", graph(ROOT / "examples" / f"{name}.toml"))


@pytest.mark.slow
def test_the_compiled_pipelines(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    write_golden(tmp_path)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == sorted(path.name for path in COMPILED.iterdir())
    for name in written:
        check(request, COMPILED / name, (tmp_path / name).read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, _, _ in GOLDEN])
def test_the_docs_tell_the_size_of_the_compiled_pipelines(name: str) -> None:
    size = estimate(*documents(COMPILED / f"{name}.yaml"))
    (row,) = (line for line in (ROOT / "docs" / "kubernetes.md").read_text().splitlines() if f"| `{name}`" in line)
    spec, nodes = (f"{num / 1000:.0f} kB" for num in (size.spec_bytes, size.compressed_bytes))
    assert f"| {size.tasks} | {size.pods} | {spec} | {nodes} |" in row


def test_a_changed_page_is_noticed(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if request.config.getoption("--regenerate-golden"):
        pytest.skip("the golden files are being written: without --regenerate-golden")
    (tmp_path / "page.md").write_text("old")
    with pytest.raises(AssertionError, match="make golden"):
        check(request, tmp_path / "page.md", "new")
