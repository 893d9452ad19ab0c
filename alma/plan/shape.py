"""The sizes of a model, read from its ``config.json``: what memory follows from. No weights are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from alma.errors import ConfigError
from alma.regular import CONFIG_BYTES, parse, read_regular
from alma.sections import IngestModel
from alma.sources.row import shown

BIASED = {"qwen2": ("q_proj", "k_proj", "v_proj")}
"""Model types whose counted layers have biases that config.json does not name."""

MOST_SIZE = 10**9
"""Of each size: a context of ten million tokens has 1% of it."""

COUNTED = ("llama", "mistral", "qwen2", "qwen3", "smollm3")
"""Model types whose parameters follow from these sizes: gated feed-forward layers, grouped-query attention."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder of ``layers`` blocks of attention and a gated feed-forward layer; sizes in numbers, not bytes."""

    parameters: float
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int

    @property
    def q_width(self) -> int:
        """Numbers of a token's query."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Numbers of a token's key, and of its value."""
        return self.kv_heads * self.head_dim

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Name → (inputs, outputs) of the linear layers of one block."""
        return {
            "q_proj": (self.hidden, self.q_width),
            "k_proj": (self.hidden, self.kv_width),
            "v_proj": (self.hidden, self.kv_width),
            "o_proj": (self.q_width, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @classmethod
    def of(cls, config: Mapping[str, Any], parameters: float | None, origin: str) -> Self:
        """From a ``config.json``. ``parameters`` overrules what its sizes add up to.

        Raises ``ConfigError`` where a size is missing, or the parameters of such a model cannot be counted from them.
        """
        text = config.get("text_config") or config
        if not isinstance(text, dict):
            raise ConfigError(f"{origin}: text_config is {shown(text)}, and no object of sizes; mend it there")

        def size(name: str, default: int | None = None) -> int:
            value = text.get(name, default)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_SIZE:
                raise ConfigError(
                    f"{origin}: {name} is {shown(value)}, and memory is planned from it: a whole number from 1 to "
                    f"{MOST_SIZE:,}"
                )
            return value

        heads, hidden = size("num_attention_heads"), size("hidden_size")
        if heads > hidden and text.get("head_dim") is None:
            raise ConfigError(
                f"{origin}: num_attention_heads is {heads:,} and hidden_size {hidden:,}, and a head has a number at "
                "least; mend the one that is wrong, or state head_dim"
            )
        shape = cls(
            parameters=parameters or 0,
            layers=size("num_hidden_layers"),
            hidden=hidden,
            intermediate=size("intermediate_size"),
            heads=heads,
            kv_heads=size("num_key_value_heads", heads),
            head_dim=size("head_dim") if text.get("head_dim") is not None else hidden // heads,
            vocab=size("vocab_size"),
            context=size("max_position_embeddings"),
        )
        if parameters:
            return shape
        kind = str(text.get("model_type"))
        if kind not in COUNTED:
            raise ConfigError(
                f"{origin}: of model_type {kind!r} the number of parameters is not counted from its sizes (it is of: "
                f"{', '.join(COUNTED)}); give --parameters, such as --parameters 8.03e9"
            )
        return cls(**{name: getattr(shape, name) for name in cls.__slots__} | {"parameters": _count(shape, text, kind)})


def _count(shape: Shape, config: Mapping[str, Any], kind: str) -> float:
    biased = BIASED.get(kind, ())
    block = sum(ins * outs + (outs if name in biased else 0) for name, (ins, outs) in shape.linears.items())
    norms = 2 * shape.hidden + (2 * shape.head_dim if kind == "qwen3" else 0)
    ends = shape.vocab * shape.hidden * (1 if config.get("tie_word_embeddings") else 2)
    return ends + shape.layers * (block + norms) + shape.hidden


def find_config(base: IngestModel, folder: Path, given: Path | None) -> Path:
    """Where the ``config.json`` of ``base`` is: ``given``, the model's own folder, or the Hub's cache on this machine.

    A relative source starts at ``folder``. Nothing is downloaded. Raises ``ConfigError`` where there is none.
    """
    if given is not None:
        path = given / "config.json" if given.is_dir() else given
        if not path.is_file():
            raise ConfigError(f"--model-config {given}: there is no such config.json")
        return path
    path = folder / base.source / "config.json"
    if "://" not in base.source and path.is_file():
        return path
    if base.source.startswith("hf://"):
        from huggingface_hub import try_to_load_from_cache

        name = "/".join(base.source.removeprefix("hf://").split("/")[:2])
        cached = try_to_load_from_cache(name, "config.json", revision=base.revision)
        if isinstance(cached, str):
            return Path(cached)
    raise ConfigError(
        f"--gpu-memory: memory follows from the base model's sizes, and the config.json of {base.source} is not on "
        "this machine; give --model-config FILE, a copy of it (examples/shapes/ has those of the examples)"
    )


def read_shape(path: Path, parameters: float | None) -> Shape:
    """The sizes in a ``config.json``. Raises ``ConfigError`` for a file that is none."""
    config = parse(read_regular(path, CONFIG_BYTES, kind=ConfigError), str(path), ConfigError)
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: is no model's config.json: it holds no object")
    return Shape.of(config, parameters, str(path))
