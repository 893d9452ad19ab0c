"""How a model is run: its engine, memory, lengths and sampling."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from alma.sections.section import HOW, QUIET, Devices, Fraction, Positive, Section

Engine = Literal["vllm", "hf", "openai", "echo"]
Dtype = Literal["auto", "float32", "bfloat16"]
# Below these a division by them, or a sum of float32, is no number: as the most probable token has it, ask for greedy.
Temperature = Annotated[float, Field(ge=1e-3, le=10.0)]
Nucleus = Annotated[float, Field(ge=1e-6, le=1.0)]


MOST_ADDRESS_CHARS = 2048
"""Of an endpoint: what every server and library takes."""


class Sampling(Section):
    """How tokens are drawn."""

    temperature: Temperature = 0.7
    """Softmax temperature. [ours]"""

    top_p: Nucleus = 0.9
    """Nucleus mass. [ours]"""

    max_new_tokens: Positive = 1024
    """Longest continuation, in tokens. [ours]"""

    repetition_penalty: Annotated[float, Field(ge=1e-3, le=10.0), QUIET] = 1.0
    """What the logit of every token that the text or its continuation holds already is divided by (multiplied, where it
    is negative; arXiv 1909.05858). 1 = off."""

    no_repeat_ngram_size: Annotated[int, Field(ge=0), QUIET] = 0
    """No run of this many tokens may come twice in a text and its continuation. 0 = off. ``engine = "hf"`` only."""


class Vllm(Section):
    """How ``engine = "vllm"`` runs. All but ``max_model_len`` is how, not what: it is no part of an artifact's key."""

    tensor_parallel: Annotated[Devices, HOW] = 1
    """GPUs that share one model. It must divide the model's attention heads; a CPU takes 1."""

    data_parallel: Annotated[Devices | None, HOW] = None
    """Engines side by side, each with the whole model on ``tensor_parallel`` GPUs, fed from one queue. ``None`` = as
    many as the visible GPUs are for; on a CPU 1."""

    parts_per_turn: Annotated[Positive, HOW] = 8
    """Parts that one checkpoint of a pool answers before the next takes its place in the engine. More of them make the
    time that a change takes (the stragglers, then the weights) matter less; a killed process loses these parts."""

    gpu_memory_share: Annotated[float, Field(gt=0.0, lt=1.0), HOW] = 0.9
    """Fraction of every GPU's memory for weights, activations and cache together."""

    kv_cache_gib: Annotated[Annotated[float, Field(gt=0.0)] | None, HOW] = None
    """Memory for keys and values, in GiB per device. ``None`` = what ``gpu_memory_share`` leaves; on a CPU 1."""

    max_model_len: Positive | None = None
    """Longest text with its continuation, in tokens. ``None`` = the model's context; less makes a larger batch fit."""

    prefix_caching: Annotated[bool, HOW] = True
    """Compute what texts begin with in common once: a prompt for all its samples, the judge's prompt for all its
    responses."""

    enforce_eager: Annotated[bool | None, HOW] = None
    """Run without CUDA graphs and compilation: slower, and started in seconds. ``None`` = on a CPU only."""


class OpenAI(Section):
    """A served model, for ``engine = "openai"``: any endpoint with ``/completions`` as OpenAI has it.

    The endpoint has to serve the model that the stage is given, whose folder's tokenizer and template are used: its
    name is checked there, its weights cannot be. Where it is served and how it is asked are no part of an artifact's
    key; what is served, and in what form it is asked, is.
    """

    endpoint: Annotated[str, HOW]
    """Address up to ``/v1``, such as ``http://vllm.models:8000/v1``; without a key in it."""

    model: Annotated[str, Field(min_length=1)]
    """The model's name there."""

    revision: str | None = None
    """Any text; change it when the endpoint serves other weights under the same name, so that nothing is reused."""

    key_variable: Annotated[str | None, HOW] = None
    """Environment variable that holds the key, such as ``OPENAI_API_KEY``. ``None`` = the endpoint wants none."""

    listed: Annotated[bool, QUIET, HOW] = True
    """Look the name up in the endpoint's list, ``/models``, before any work. ``false`` for one whose list lacks what it
    serves; a wrong name or key is then told by the first request."""

    prompts: Literal["tokens", "text"] = "tokens"
    """How prompts are sent: as the tokens of the model's own tokenizer, or, to servers that take none, as text."""

    extensions: Literal["none", "vllm"] = "none"
    """Fields beyond OpenAI's that the server understands. With ``vllm`` special tokens are seen, and exactly the
    ratings' log-probabilities are read."""

    top_logprobs: Annotated[int, Field(ge=11, le=1000)] = 20
    """Log-probabilities that a judge asks for per position; what is not listed counts as nothing."""

    timeout_seconds: Annotated[float, Field(gt=0, le=10**6), HOW] = 600.0
    """Longest wait for one answer."""

    max_concurrent: Annotated[int, Field(ge=1, le=1024), HOW] = 64
    """Requests in flight at once, per process."""

    retries: Annotated[int, Field(ge=0, le=100), HOW] = 8
    """Further tries of one request after a timeout, a lost connection, HTTP 429 or 5xx."""

    @field_validator("endpoint")
    @classmethod
    def _address(cls, endpoint: str) -> str:
        # The value is shown by none of these messages: it may hold a password.
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address such as https://host:8000/v1")
        if not endpoint.isprintable() or any(each.isspace() for each in endpoint) or len(endpoint) > MOST_ADDRESS_CHARS:
            raise ValueError(
                f"must be an address of at most {MOST_ADDRESS_CHARS:,} characters, without spaces or control characters"
            )
        try:
            port = parts.port
        except ValueError as error:
            raise ValueError(
                "has no port from 1 to 65535 behind the colon; write one, or leave the colon out"
            ) from error
        if port == 0:
            raise ValueError("has port 0, where nothing can be served; write the endpoint's")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError("must hold no password, query or fragment; name the key's variable as key_variable")
        return endpoint.rstrip("/")

    @field_validator("key_variable")
    @classmethod
    def _variable(cls, name: str | None) -> str | None:
        # Upper case only, so that no key passes for the name of one and is then shown.
        if name is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
            raise ValueError("must be the name of an environment variable in capitals, never the key itself")
        return name


class Inference(Section):
    """What every stage that runs a model has in common."""

    engine: Engine = "hf"
    """What runs the model: ``vllm``, ``hf`` (transformers), ``openai`` (an endpoint that serves it; no embeddings), or
    ``echo`` (no model; for tests)."""

    vllm: Annotated[Vllm, QUIET] = Vllm()
    """Memory, devices and lengths of ``engine = "vllm"``."""

    openai: Annotated[OpenAI | None, QUIET] = None
    """The served model of ``engine = "openai"``."""

    dtype: Dtype = "auto"
    """Arithmetic. ``auto`` = bfloat16 on a GPU, float32 on a CPU."""

    batch_rows: Annotated[Positive, HOW] = 256
    """Sequences that are decoded or scored at once; with ``vllm`` at most, as its memory allows."""

    part_rows: Annotated[Positive, HOW] = 4096
    """Rows per published part. A killed process loses those that are not whole: one, with ``vllm`` a few (see
    ``vllm.parts_per_turn``). Set by the section, never by the workers: all shards of a stage cut its rows alike."""

    max_too_long_share: Annotated[Fraction, QUIET, HOW] = 0.05
    """Fraction of prompts that leave no room in the model's context above which the stage fails; below it they are set
    aside and counted. [ours]"""

    @model_validator(mode="after")
    def _endpoint(self) -> Self:
        if self.engine == "openai" and self.openai is None:
            raise ValueError("engine = 'openai' needs to know what serves the model: set openai.endpoint, openai.model")
        return self

    @model_validator(mode="after")
    def _ngrams(self) -> Self:
        for name, value in self:
            if isinstance(value, Sampling) and value.no_repeat_ngram_size and self.engine not in ("hf", "echo"):
                raise ValueError(
                    f"{name}.no_repeat_ngram_size = {value.no_repeat_ngram_size}: engine = '{self.engine}' has no such "
                    "ban; set engine = 'hf', or leave it out"
                )
        return self

    def reads(self) -> dict[str, bool]:
        """See ``Section.reads``: of an endpoint's model the arithmetic is its own."""
        served = self.engine == "openai"
        return super().reads() | {
            "vllm": self.engine == "vllm" and self.vllm.max_model_len is not None,  # the rest of it is how
            "openai": served,
            "dtype": not served,
        }
