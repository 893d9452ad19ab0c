"""A base model is checked before it is loaded, and taken in without the files that do not belong."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from alma.artifact import Manifest, Metrics, Model, Ref, artifact_key
from alma.artifact.out import Out
from alma.engines.chat import check_chat, stop_texts
from alma.engines.probe.prove import prove
from alma.engines.tokenizer import load_tokenizer, stop_ids
from alma.engines.ways import PROOF, Proof
from alma.errors import DataError
from alma.prompts import CHAT_TEMPLATE, TOKEN_TEMPLATES
from alma.sections import IngestModel
from alma.sources.models import model_files
from alma.sources.untrained import untrained
from alma.stages import ingest
from alma.store import open_store
from alma.store.s3 import S3Store
from tests.builders.rendering import render_turn

OWN_TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% if m['role'] == 'assistant' %}{{ eos_token }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def edit(file: Path, **changes: Any) -> None:
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that has all that the checks read: 257 tokens, 4 dimensions, two tensors in two shards."""
    folder = tmp_path / "base"
    folder.mkdir()
    alphabet = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "</s>"]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer_config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 257, "eos_token_id": 256}
    config |= {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
    (folder / "config.json").write_text(json.dumps(config))
    shards = {"model-00001-of-00002.safetensors": EMBEDDING, "model-00002-of-00002.safetensors": HEAD}
    for shard, tensor in shards.items():
        save_file({tensor: np.zeros((257, 4), np.float32)}, folder / shard)
    index = {"metadata": {}, "weight_map": {tensor: shard for shard, tensor in shards.items()}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for other in ("README.md", "pytorch_model.bin", "consolidated.safetensors", "modeling_own.py"):
        (folder / other).write_text("not to be taken in")
    (folder / "original").mkdir()
    return folder


def take_in(cfg: IngestModel, base: Path) -> tuple[Metrics, Path, Manifest]:
    """Ingests into a folder store, seals, and opens the artifact's folder."""
    identity = ingest.identify(cfg, base)
    section = cfg.model_dump(exclude={"source", "revision"})
    ref = Ref("ingest", artifact_key("ingest", ingest.VERSION, section, {}, identity))
    store = open_store(str(base / "store"))
    out = Out(store, ref, base / "scratch")
    metrics = ingest.run(cfg, base=base, identity=identity, out=out)
    manifest = out.seal(
        kind="model",
        version=ingest.VERSION,
        section=section,
        inputs={},
        identity=identity,
        metrics=metrics,
        device="cpu",
    )
    return metrics, Model(store, manifest).folder, manifest


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "ahead"), [(1, 0), (2, 1)])
def test_takes_in_weights_without_a_place(folder: Path, number: int, ahead: int) -> None:
    """A head of another task, layers that predict further ahead: no model is spoilt by leaving them out."""
    more_layers(folder, number)
    edit(folder / "config.json", num_nextn_predict_layers=ahead)
    metrics, _, _ = take_in(IngestModel(source="base"), folder.parent)
    assert metrics["num_parameters"] == 3 * 257 * 4 + 128 * 64


@pytest.mark.slow
def test_takes_in_what_belongs(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    metrics, copy, _ = take_in(IngestModel(source="base"), folder.parent)
    assert names(copy) == {
        "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
        "model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", PROOF,
    }  # fmt: skip
    assert metrics["num_parameters"] == 2 * 257 * 4
    ours = {"chat_template.jinja", PROOF}
    assert metrics["bytes"] == sum((folder / name).stat().st_size for name in names(copy) - ours)
    assert metrics["num_ways_left_off"] == 0
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before, "the original changed"


@pytest.mark.parametrize(
    ("stated", "file", "said"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, None, "gptq (quantization_config in"),
        ({"quantization_config": {"quant_method": "mxfp4"}}, None, "mxfp4 ("),
        ({"quantization_config": {"quant_algo": "FP8"}}, None, "FP8 ("),
        ({"compression_config": {"format": "int-quantized"}}, None, "int-quantized (compression_config in"),
        ({"quantization_config": {"load_in_4bit": True}}, None, "a method that it does not name ("),
        ({"quantization_config": "bitnet"}, None, "bitnet ("),
        ({}, "quantize_config.json", "GPTQ (quantize_config.json)"),
    ],
)
def test_quantized_weights_are_refused_by_name(
    folder: Path, stated: dict[str, Any], file: str | None, said: str
) -> None:
    edit(folder / "config.json", **stated)
    if file is not None:
        (folder / file).write_text("{}")
    with pytest.raises(DataError) as caught:
        take_in(IngestModel(source="base"), folder.parent)
    assert f"base: the weights are quantized by {said}" in str(caught.value)
    assert "bring the model that they were made from" in str(caught.value)


def test_a_quantized_copy_beside_the_whole_weights_is_left_out(folder: Path) -> None:
    (folder / "model-q4_k_m.gguf").write_text("not to be taken in")
    _, copy, _ = take_in(IngestModel(source="base"), folder.parent)
    assert not any(name.endswith(".gguf") for name in names(copy))


def test_everything_that_is_wrong_with_a_model_is_told_at_once(folder: Path) -> None:
    edit(folder / "config.json", model_type="bert", architectures=["BertModel"], num_hidden_layers=2, vocab_size=300)
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    with pytest.raises(DataError) as caught:
        take_in(IngestModel(source="base"), folder.parent)
    told = str(caught.value).splitlines()
    assert all(line.startswith("base: ") for line in told)
    for fault in ("architectures", "vocab_size = 300", "it sees what comes later", "assistant"):
        assert sum(fault in line for line in told) == 1, fault


def test_what_is_proven_of_a_model_is_sealed_with_it(folder: Path) -> None:
    edit(folder / "config.json", model_type="falcon", architectures=["FalconForCausalLM"])
    metrics, copy, manifest = take_in(IngestModel(source="base"), folder.parent)
    proof = Proof.read(copy / PROOF)
    assert proof == prove(copy)
    assert not proof.ways.packed
    assert metrics["num_ways_left_off"] == len(proof.left_off) == 1
    assert any(file.name.endswith(PROOF) for file in manifest.files)


def test_a_model_that_sees_what_comes_later_is_refused_by_name(folder: Path) -> None:
    edit(folder / "config.json", model_type="bert", architectures=["BertLMHeadModel"], num_hidden_layers=2)
    with pytest.raises(DataError, match=r"^base: .* a model of type bert cannot be used: it sees what comes later"):
        take_in(IngestModel(source="base"), folder.parent)


def test_an_artifact_shares_no_file_with_its_origin(folder: Path) -> None:
    """Hard links save a copy on the way; a later edit of the original must not reach what is sealed."""
    _, copy, _ = take_in(IngestModel(source="base"), folder.parent)
    assert not any((folder / name).samefile(copy / name) for name in names(copy) & names(folder))


def test_one_file_wins_over_an_index_as_in_transformers(folder: Path) -> None:
    save_file({EMBEDDING: np.zeros((257, 4), np.float32)}, folder / "model.safetensors")
    metrics, copy, _ = take_in(IngestModel(source="base"), folder.parent)
    assert {name for name in names(copy) if "safetensors" in name} == {"model.safetensors"}
    assert metrics["num_parameters"] == 257 * 4


@pytest.mark.parametrize(
    ("has", "wanted", "expected", "added"),
    [
        pytest.param(None, None, CHAT_TEMPLATE, 1, id="has none, gets ours"),
        pytest.param(None, OWN_TEMPLATE, OWN_TEMPLATE, 1, id="has none, gets the one given"),
        pytest.param("config", None, OWN_TEMPLATE, 0, id="keeps the one in tokenizer_config.json"),
        pytest.param("file", None, OWN_TEMPLATE, 0, id="keeps the one in chat_template.jinja"),
        pytest.param("config", CHAT_TEMPLATE, CHAT_TEMPLATE, 1, id="replaced in tokenizer_config.json"),
        pytest.param("file", CHAT_TEMPLATE, CHAT_TEMPLATE, 1, id="replaced in chat_template.jinja"),
    ],
)
def test_chat_template(folder: Path, has: str | None, wanted: str | None, expected: str, added: int) -> None:
    if has == "config":
        edit(folder / "tokenizer_config.json", chat_template=OWN_TEMPLATE)
    elif has == "file":
        (folder / "chat_template.jinja").write_text(OWN_TEMPLATE)
    metrics, copy, _ = take_in(IngestModel(source="base", chat_template=wanted), folder.parent)
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(copy, local_files_only=True).chat_template == expected
    assert metrics["chat_template_added"] == added


@pytest.mark.parametrize("tokens", TOKEN_TEMPLATES, ids=["Llama 3", "ChatML"])
def test_a_base_with_tokens_for_turns_gets_a_template_of_them(folder: Path, tokens: tuple[str, ...]) -> None:
    """Its turns can be spelled by no text, and its answers end where generation does."""
    file = json.loads((folder / "tokenizer.json").read_text())
    for place, token in enumerate(tokens):  # in the place of bytes that no text here has
        file["model"]["vocab"][token] = file["model"]["vocab"].pop(sorted(file["model"]["vocab"])[-2])
        added = dict(file["added_tokens"][0]) | {"id": file["model"]["vocab"][token], "content": token}
        file["added_tokens"].insert(place, added)
    file["added_tokens"].sort(key=lambda each: each["id"])
    (folder / "tokenizer.json").write_text(json.dumps(file))
    metrics, copy, _ = take_in(IngestModel(source="base"), folder.parent)
    assert (metrics["chat_template_added"], metrics["chat_template_by_tokens"]) == (1, 1)
    tokenizer = load_tokenizer(copy)
    assert tokenizer.chat_template == TOKEN_TEMPLATES[tokens]
    assert stop_texts(tokenizer) == ()
    turn = render_turn(tokenizer, "Hello.", "Yes.", stop_ids(copy, tokenizer))
    assert turn is not None
    assert tokenizer.convert_tokens_to_ids(tokens[0]) in turn.prompt_ids
    assert turn.completion_ids[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_tokens_that_were_never_trained_are_named(folder: Path, kind: torch.dtype) -> None:
    weights = torch.randn(257, 4, generator=torch.Generator().manual_seed(1)).to(kind) + 1
    weights[[9, 256]] *= 0.001
    edit(folder / "tokenizer.json", added_tokens=[{"content": name, "id": i} for i, name in ((9, "a"), (8, "b"))])
    save_torch({"x": weights[:3].clone(), EMBEDDING: weights}, folder / "model.safetensors")
    assert untrained(folder, [folder / "model.safetensors"], ["b", "a", "c"], "base") == ["a"]
    save_torch({HEAD: weights}, folder / "model.safetensors")
    assert untrained(folder, [folder / "model.safetensors"], ["a"], "base") == []


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def pointer(file: Path) -> None:
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def map_weights(folder: Path, **weight_map: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def only_pickle(folder: Path) -> None:
    for file in [*folder.glob("*.safetensors"), folder / "model.safetensors.index.json"]:
        file.unlink()


def adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def fewer_embeddings(folder: Path) -> None:
    save_file({EMBEDDING: np.zeros((200, 4), np.float32)}, folder / FIRST)
    edit(folder / "config.json", vocab_size=200)


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def replace(pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


def more_layers(folder: Path, number: int = 2) -> None:
    """Of two that config.json states, the third; and what has no place for a good reason."""
    tensors = {name: np.zeros((257, 4), np.float32) for name in (EMBEDDING, HEAD, "mtp.layers.3.norm.weight")}
    layer = {f"model.layers.{number}.mlp.up_proj.weight": np.zeros((128, 64), np.float32)}
    save_file(tensors | layer, folder / "model.safetensors")


FIRST = "model-00001-of-00002.safetensors"


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        pytest.param(lambda f: (f / "config.json").unlink(), ["no config.json", "save_pretrained"], id="no config"),
        pytest.param(adapter, ["adapter", "merge"], id="adapter"),
        pytest.param(
            lambda f: (f / "config.json").write_text('{\n"a" 1}'), ["config.json line 2 column 5"], id="not json"
        ),
        pytest.param(lambda f: (f / "config.json").write_text("[]"), ["config.json", "object"], id="config a list"),
        pytest.param(lambda f: edit(f / "config.json", model_type=None), ["model_type"], id="no model_type"),
        pytest.param(
            lambda f: edit(f / "config.json", architectures=["BertForMaskedLM"]),
            ["BertForMaskedLM", "ForCausalLM"],
            id="not causal",
        ),
        pytest.param(
            lambda f: edit(f / "config.json", architectures=None), ["no architectures"], id="no architectures"
        ),
        pytest.param(lambda f: edit(f / "config.json", auto_map={"AutoModel": "x.Y"}), ["auto_map", "code"], id="code"),
        pytest.param(
            lambda f: edit(f / "tokenizer_config.json", auto_map={"AutoTokenizer": ["x.Y", None]}),
            ["tokenizer_config.json", "auto_map"],
            id="tokenizer code",
        ),
        pytest.param(only_pickle, ["pickle (pytorch_model.bin)", "save_pretrained"], id="pickle"),
        pytest.param(lambda f: (f / FIRST).unlink(), ["1 of 2", FIRST], id="shard missing"),
        pytest.param(lambda f: truncate(f / FIRST), [FIRST, "bytes", "fetch it again"], id="shard cut off"),
        pytest.param(lambda f: (f / FIRST).write_bytes(b""), [FIRST, "(0 bytes)"], id="shard empty"),
        pytest.param(lambda f: pointer(f / FIRST), [FIRST, "git lfs pull"], id="git lfs pointer"),
        pytest.param(
            lambda f: pointer(f / "tokenizer.json"), ["tokenizer.json", "git lfs pull"], id="tokenizer pointer"
        ),
        pytest.param(map_weights, ["no weight_map"], id="index empty"),
        pytest.param(
            lambda f: edit(f / "model.safetensors.index.json", metadata=None),
            ["model.safetensors.index.json: metadata: Field required", "mend it there"],
            id="index without what it is of",
        ),
        pytest.param(
            lambda f: (f / FIRST).rename(f / "a\nb.safetensors"),
            [r"'a\nb.safetensors' has a line break in its name; rename it"],
            id="a name of two lines",
        ),
        pytest.param(lambda f: map_weights(f, x="../x.safetensors"), ["'../x.safetensors'"], id="index climbs out"),
        pytest.param(lambda f: map_weights(f, x="pytorch_model.bin"), ["'pytorch_model.bin'"], id="index to a pickle"),
        pytest.param(lambda f: map_weights(f, x=FIRST), ["puts x into", FIRST], id="tensor missing"),
        pytest.param(lambda f: (f / "tokenizer.json").unlink(), ["no tokenizer"], id="no tokenizer"),
        pytest.param(
            lambda f: edit(f / "config.json", vocab_size=300), ["vocab_size = 300", "257 rows"], id="vocab size"
        ),
        pytest.param(
            lambda f: save_file({"model.embed_tokens.weight": np.zeros((), np.float32)}, f / "model.safetensors"),
            ["vocab_size = 257", "has 0 rows"],
            id="embeddings of one number",
        ),
        *(
            pytest.param(
                lambda f, most=most: edit(f / "config.json", max_position_embeddings=most),
                ["config.json: max_position_embeddings: ", "greater than or equal to 1", f"(it is {most})"],
                id=f"a context of {most}",
            )
            for most in (0, -1)
        ),
        *(
            pytest.param(
                lambda f, key=key, value=value: edit(f / "config.json", **{key: value}),
                [f"config.json: {key} = {value}, and its weights are 2 tensors", "is 257; fetch the model again"],
                id=f"absurd {key}",
            )
            for key, value in {
                "num_hidden_layers": 10**9,
                "hidden_size": 10**12,
                "intermediate_size": -(10**9),
                "num_labels": 10**9,
                "vocab_size": 10**9,
                "max_position_embeddings": 10**12,
            }.items()
        ),
        pytest.param(
            lambda f: edit(f / "config.json", hidden_size=65536, intermediate_size=65536, num_hidden_layers=9),
            ["config.json describes", "hidden_size = 65536", "its weights are 2,056;"],
            id="large everywhere",
        ),
        pytest.param(
            more_layers,
            ["config.json counts fewer layers or experts", "1 have no place in the model, model.layers.2.mlp.up_proj"],
            id="layers beyond",
        ),
        pytest.param(
            lambda f: edit(f / "config.json", text_config={"num_experts": 10**8}),
            ["config.json: text_config.num_experts = 100000000"],
            id="absurd within",
        ),
        pytest.param(
            lambda f: edit(f / "tokenizer.json", pre_tokenizer=split("(?:q+q+)+w")),
            ["tokenizer.json: pre_tokenizer ('(?:q+q+)+w') with 'qqq", "fails: Onig", "published with"],
            id="a regular expression that tries for ever",
        ),
        pytest.param(
            lambda f: edit(f / "tokenizer.json", normalizer=replace("q", "k" * 200)),
            ["tokenizer.json: model with 'qqq", "makes 400,001 tokens of 2,001 characters"],
            id="a text that grows",
        ),
        pytest.param(
            lambda f: edit(f / "tokenizer.json", added_tokens=[{"content": "a", "id": 2**31}]),
            ["tokenizer.json: added_tokens.0.id: ", "less than 16777216 (it is 2147483648)"],
            id="absurd token",
        ),
        pytest.param(
            lambda f: edit(f / "tokenizer.json", added_tokens=[{"content": "a", "id": 1, "\u202eb": 1}]),
            [r"tokenizer.json: the name '\u202eb' holds control characters"],
            id="name of a setting",
        ),
        pytest.param(
            lambda f: (f / "special_tokens_map.json").write_text(
                '{"eos_token": {"content": "</s>", "\\u001b[31m": 1}}'
            ),
            [r"special_tokens_map.json: the name '\x1b[31m' holds control characters"],
            id="name within a special token",
        ),
        pytest.param(fewer_embeddings, ["token 256", "200 rows"], id="tokenizer too large"),
        pytest.param(
            lambda f: (f / "chat_template.jinja").write_text("{{ messages"),
            ["base: ", "chat template"],
            id="template broken",
        ),
        pytest.param(
            lambda f: (f / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}"),
            ["base: ", "</s>"],
            id="template never ends",
        ),
    ],
)
def test_tells_what_is_wrong_with_a_model(folder: Path, spoil: Callable[[Path], object], parts: list[str]) -> None:
    spoil(folder)
    with pytest.raises(DataError) as caught:
        take_in(IngestModel(source="base"), folder.parent)
    message = str(caught.value)
    assert message.startswith("base: ")
    assert [part for part in parts if part not in message] == [], message
    assert str(folder.parent / "scratch") not in message


def test_a_model_must_be_a_folder_that_is_there(folder: Path) -> None:
    with pytest.raises(DataError, match="Did you mean base"):
        ingest.identify(IngestModel(source="bases"), folder.parent)
    with pytest.raises(DataError, match="is a file; name the folder"):
        ingest.identify(IngestModel(source="base/config.json"), folder.parent)


def test_identity_follows_the_files_that_belong(folder: Path) -> None:
    cfg = IngestModel(source="base")
    before = ingest.identify(cfg, folder.parent)
    shutil.copytree(folder, folder.parent / "elsewhere")
    (folder / "README.md").write_text("edited")
    assert ingest.identify(cfg, folder.parent) == before
    assert ingest.identify(IngestModel(source="elsewhere"), folder.parent) == before
    save_file({HEAD: np.ones((257, 4), np.float32)}, folder / "model-00002-of-00002.safetensors")
    assert ingest.identify(cfg, folder.parent) != before


def test_s3_folder_is_the_same_model(folder: Path, s3_store_uri: str) -> None:
    store = open_store(s3_store_uri)
    for file in folder.iterdir():
        if file.is_file():
            store.upload(file, f"models/base/{file.name}")
    there = IngestModel(source=f"{s3_store_uri}/models/base/")
    assert ingest.identify(there, folder) == ingest.identify(IngestModel(source="base"), folder.parent)
    metrics, copy, _ = take_in(there, folder.parent)
    assert metrics["num_parameters"] == 2 * 257 * 4
    assert "README.md" not in names(copy)
    with pytest.raises(DataError, match=r"no model lies there.*Did you mean base"):
        ingest.identify(IngestModel(source=f"{s3_store_uri}/models/bas"), folder)


def test_an_s3_model_is_fetched_once_and_again_when_it_changes(
    folder: Path, s3_store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMA_CACHE", str(tmp_path / "cache"))
    store = open_store(s3_store_uri)
    for file in folder.iterdir():
        if file.is_file():
            store.upload(file, f"models/base/{file.name}")
    fetched: list[str] = []
    download = S3Store.download
    monkeypatch.setattr(S3Store, "download", lambda *a: (fetched.append(a[1]), download(*a))[1])
    there = IngestModel(source=f"{s3_store_uri}/models/base")
    before = ingest.identify(there, folder)
    take_in(there, folder.parent)
    assert len(fetched) == len(set(fetched)) > 3
    save_file({HEAD: np.ones((257, 4), np.float32)}, tmp_path / "changed.safetensors")
    store.upload(tmp_path / "changed.safetensors", "models/base/model-00002-of-00002.safetensors")
    fetched.clear()
    assert ingest.identify(there, folder) != before
    assert fetched == ["base/model-00002-of-00002.safetensors"]


def test_the_day_is_written_into_the_template(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sealed renders one day, by whatever library, and the artifact says so."""
    import transformers.utils.chat_template_utils as templates
    from transformers import AutoTokenizer

    (folder / "chat_template.jinja").write_text("{{ strftime_now('%d %B %Y') }} " + OWN_TEMPLATE)
    metrics, copy, _ = take_in(IngestModel.model_validate({"source": "base", "date": "2031-03-05"}), folder.parent)
    assert metrics["chat_template_dated"] == 1
    monkeypatch.setattr(templates, "datetime", None)
    tokenizer = AutoTokenizer.from_pretrained(copy, local_files_only=True)
    text = tokenizer.apply_chat_template([{"role": "user", "content": "q"}], tokenize=False)
    assert text == "05 March 2031 <user>q"


def test_the_day_is_part_of_the_key_where_it_is_not_the_default() -> None:
    assert "date" not in IngestModel(source="x").keyed()
    assert IngestModel.model_validate({"source": "x", "date": "2031-03-05"}).keyed()["date"] == "2031-03-05"


def test_links_lead_nowhere_else(folder: Path, tmp_path: Path) -> None:
    """What a link leads to would be sealed with the model, for everyone who may read the store."""
    secret = tmp_path / "secret"
    secret.write_text("token")
    for name in ("merges.txt", "generation_config.json"):
        (folder / name).symlink_to(secret)
        with pytest.raises(DataError, match=f"{name} is a link to {secret}, outside of the model's folder"):
            model_files(folder, "base")
        (folder / name).unlink()
    (folder / "kept.json").write_text("{}")
    (folder / "special_tokens_map.json").symlink_to(folder / "kept.json")
    model_files(folder, "base")


@pytest.mark.parametrize(
    "name", ["generation_config.json", "tokenizer.json", "config.json", "model.safetensors.index.json"]
)
@pytest.mark.parametrize("target", ["../../blobs/gone", ""], ids=["gone", "loop"])
def test_a_link_to_nothing_is_no_missing_file(folder: Path, name: str, target: str) -> None:
    """A file that a cache has lost: without it the model would be another one."""
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target or name)
    with pytest.raises(DataError, match=f"{name} is a link to {target or name}, where nothing is"):
        model_files(folder, "there")


def test_a_store_that_is_moved_away_meanwhile_is_no_fault_of_the_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(model: Path) -> None:
        (folder.parent / "scratch").rename(folder.parent / "elsewhere")
        check_chat(model)

    monkeypatch.setattr("alma.engines.chat.check_chat", check)
    with pytest.raises(DataError, match=r"^\S+scratch/folder: what was put there is gone: the store was moved"):
        take_in(IngestModel(source="base"), folder.parent)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "merges.txt", "model.safetensors", "modules.json"])
def test_a_device_or_a_pipe_is_no_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("/dev/null")
    with pytest.raises(DataError, match=rf"^base: {name}: is a device, and not a regular file"):
        model_files(folder, "base", "embedding")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(DataError, match=rf"^base: {name}: is a pipe, and not a regular file"):
        model_files(folder, "base", "embedding")


def test_a_snapshot_of_the_hubs_cache_is_links_into_its_own_blobs(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "hub" / "models--o--name"
    snapshot, blobs = cache / "snapshots" / "0123", cache / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(path for path in folder.iterdir() if path.is_file())):
        shutil.copy(file, blobs / str(number))
        (snapshot / file.name).symlink_to(Path("../../blobs", str(number)))
    model_files(snapshot, "base")
    (snapshot / "merges.txt").symlink_to(tmp_path / "base" / "config.json")
    with pytest.raises(DataError, match=r"merges\.txt is a link to"):
        model_files(snapshot, "base")


def as_reward(folder: Path) -> None:
    """Makes it a reward model."""
    edit(folder / "config.json", architectures=["LlamaForSequenceClassification"], id2label={"0": "LABEL_0"})
    shard = folder / "model-00002-of-00002.safetensors"
    save_file({"score.weight": np.ones((1, 4), np.float32)}, shard)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"] = {EMBEDDING: "model-00001-of-00002.safetensors", "score.weight": shard.name}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_a_reward_model_keeps_its_own_template(folder: Path) -> None:
    as_reward(folder)
    edit(folder / "tokenizer_config.json", chat_template=OWN_TEMPLATE)
    metrics, copy, _ = take_in(IngestModel(source="base", task="reward"), folder.parent)
    assert metrics["chat_template_added"] == 0
    assert json.loads((copy / "tokenizer_config.json").read_text())["chat_template"] == OWN_TEMPLATE
    given = IngestModel(source="base", task="reward", chat_template=OWN_TEMPLATE.replace("<", "["))
    metrics, copy, _ = take_in(given, folder.parent)
    assert metrics["chat_template_added"] == 1
    assert (copy / "chat_template.jinja").read_text() == given.chat_template


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"id2label": None}, "says 2 labels, and a reward model gives one number", id="two-labels"),
        pytest.param({"architectures": ["LlamaForCausalLM"]}, "needs a reward model", id="no-classifier"),
        pytest.param({}, "has no chat template, by which a reward model reads", id="no-template"),
    ],
)
def test_what_is_no_reward_model_is_refused(folder: Path, changes: dict[str, Any], told: str) -> None:
    as_reward(folder)
    edit(folder / "config.json", **changes)
    with pytest.raises(DataError, match=told):
        take_in(IngestModel(source="base", task="reward"), folder.parent)


def test_a_reward_models_head_must_be_there(folder: Path) -> None:
    edit(folder / "config.json", architectures=["LlamaForSequenceClassification"], id2label={"0": "LABEL_0"})
    edit(folder / "tokenizer_config.json", chat_template=OWN_TEMPLATE)
    with pytest.raises(DataError, match="no weights of a head with one output"):
        take_in(IngestModel(source="base", task="reward"), folder.parent)
