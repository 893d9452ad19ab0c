"""Pictures of layers. A stand-in for Graphviz keeps what it is asked to draw; the counts need none."""

import sys
from pathlib import Path

import pytest
from kfp import compiler, dsl

from alma.errors import ConfigError
from pipelines.__main__ import main
from pipelines.draw import counts, draw, graph
from pipelines.package import read_package
from pipelines.rules.compiled import Compiled


@dsl.container_component
def make(rows: dsl.Output[dsl.Dataset]):
    return dsl.ContainerSpec(image="image", command=["alma"], args=[rows.path])


@dsl.container_component
def use(rows: dsl.Input[dsl.Dataset], state: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image="image", command=["alma"], args=[rows.path, state])


@dsl.pipeline
def layer() -> str:
    made = make().set_display_name('round 01 · "make"')
    return use(rows=made.outputs["rows"]).outputs["state"]


@dsl.pipeline(name="pictures")
def pictures():
    layer().set_display_name("round 01")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(pictures, str(path))
    return path


def test_a_layer_is_boxes_and_arrows(package: Path) -> None:
    compiled = Compiled(read_package(package)["pipeline_spec"], {})
    assert graph(compiled, "comp-layer").splitlines()[1:] == [
        '"make" [label="round 01 · \\"make\\"" fillcolor="white"];',
        '"make.rows" [label="rows" fillcolor="#ffe8c2"];',
        '"use" [label="use" fillcolor="white"];',
        '"make" -> "make.rows";',
        '"make" -> "use";',
        '"make.rows" -> "use";',
        "}",
    ]
    assert counts(compiled, "comp-layer") == "2 tasks, 0 layers, 1 artifacts, 3 arrows"
    assert counts(compiled, "root") == "0 tasks, 1 layers, 0 artifacts, 0 arrows"


def graphviz(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "dot"
    path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_every_layer_gets_a_file(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    graphviz(tmp_path, "open(sys.argv[sys.argv.index('-o') + 1], 'w').write(sys.stdin.read())", monkeypatch)
    with pytest.raises(SystemExit) as ended:
        main(["draw", str(package), str(tmp_path / "pictures")])
    assert ended.value.code == 0
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["layer.png", "root.png"]
    assert '"make" -> "use"' in (tmp_path / "pictures" / "layer.png").read_text()
    assert "layer.png: 2 tasks, 0 layers" in capsys.readouterr().err


@pytest.mark.parametrize("lost", ["components", "deploymentSpec"])
def test_a_pipeline_that_is_not_whole_is_said(
    package: Path, lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphviz(tmp_path, "", monkeypatch)
    spec = {name: value for name, value in read_package(package)["pipeline_spec"].items() if name != lost}
    with pytest.raises(ConfigError, match=r"pictures: not a whole pipeline \(KeyError\(.*\)\); compile it again"):
        draw(Compiled(spec, {}), tmp_path / "pictures")
    assert not (tmp_path / "pictures").exists()


def test_layers_of_names_that_are_written_alike_have_a_picture_each(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphviz(tmp_path, "open(sys.argv[sys.argv.index('-o') + 1], 'w').write(sys.stdin.read())", monkeypatch)
    spec = read_package(package)["pipeline_spec"]
    spec["components"] |= {f"comp-la{sign}yer": spec["components"]["comp-layer"] for sign in "/ "}
    paths = [path for path, _ in draw(Compiled(spec, {}), tmp_path / "pictures")]
    assert len(set(paths)) == len(paths) == 4
    assert all(path.is_file() for path in paths)


def test_a_layer_of_any_name_is_drawn_in_the_folder(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphviz(tmp_path, "open(sys.argv[sys.argv.index('-o') + 1], 'w').write(sys.stdin.read())", monkeypatch)
    package.write_text(package.read_text().replace("comp-layer", f"comp-{tmp_path}/../outside"))
    with pytest.raises(SystemExit) as ended:
        main(["draw", str(package), str(tmp_path / "pictures")])
    assert ended.value.code == 0
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    assert not list(tmp_path.parent.glob("outside*"))


def test_without_graphviz_its_package_is_named(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="apt install graphviz"):
        draw(Compiled(read_package(package)["pipeline_spec"], {}), tmp_path)


def test_what_graphviz_says_is_passed_on(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    graphviz(tmp_path, "sys.exit('syntax error in line 1')", monkeypatch)
    with pytest.raises(SystemExit) as ended:
        main(["draw", str(package), str(tmp_path / "pictures")])
    assert ended.value.code == 1
    assert "dot could not draw the layer root: syntax error in line 1" in capsys.readouterr().err
