"""The settings of each stage: one frozen section per use of a stage.

A section is all of a stage's settings and nothing else: it travels to a pod as JSON and is part of the artifact's key,
so two runs whose sections and inputs agree share their work. The source of every default is named in its docstring:
[P] the paper (arXiv 2412.04305) with its section, [ours] where the paper is silent.

This module imports no machine-learning library, directly or indirectly (a test holds that).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from alma.prompts import JUDGE_TEMPLATE

Engine = Literal["vllm", "hf", "echo"]
Dtype = Literal["auto", "float32", "bfloat16"]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Temperature = Annotated[float, Field(gt=0.0, le=10.0)]
Nucleus = Annotated[float, Field(gt=0.0, le=1.0)]


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, field docstrings become help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    _origin: Section | None = PrivateAttr(default=None)
    _changes: dict[str, Any] = PrivateAttr(default_factory=dict)

    def changed(self, **fields: Any) -> Self:
        """A copy with ``fields`` changed, validated again, which remembers what it was made from."""
        copy = type(self).model_validate(self.model_dump() | fields)
        copy._origin = self._origin or self
        copy._changes = self._changes | fields
        return copy

    @property
    def origin(self) -> Section:
        """The section of the run file that this one was made from; itself where nothing was changed."""
        return self._origin or self

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that the recipe set, over those of ``origin``."""
        return dict(self._changes)

    def keyed(self) -> dict[str, Any]:
        """The settings as JSON values that the result follows from: what an artifact's key is made of."""
        return self.model_dump(mode="json")

    def __eq__(self, other: object) -> bool:
        """Equal settings; where they came from does not count."""
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = BaseModel.__hash__


class Ingest(Section):
    """Where something from outside comes from. Rows come from ``rows``, models from ``IngestModel``."""

    source: str
    """A path (relative to the run file), ``s3://bucket/key``, or ``hf://owner/name`` on the Hugging Face Hub."""

    revision: str | None = None
    """The commit of a ``hf://`` source; required there, so that a run means the same next month."""


class IngestRows(Ingest):
    """Rows that people wrote: JSONL, JSON, CSV, Parquet, or a Hub data set."""

    kind: Literal["pairs", "scores", "prompts"]
    """``pairs`` prompt + response; ``scores`` prompt + response + human score; ``prompts`` for evaluation."""

    columns: dict[str, str] = Field(default_factory=dict)
    """Our column → theirs; dots reach into nested values (``prompt = "conversations.0.value"``)."""

    split: str = "train"
    """Split of a Hub data set."""

    limit: Positive | None = None
    """Keep the first this many rows after de-duplication (the paper takes 5,000 SFT seeds, section 4.1)."""

    max_bad_share: Share = 0.0
    """Share of unusable rows up to which they are set aside and counted; above it the stage fails. [ours]"""


class IngestModel(Ingest):
    """A base model as Hugging Face lays it out: safetensors, config, tokenizer."""

    kind: Literal["model"] = "model"
    """Says that this source is a model."""

    chat_template: str | None = None
    """Jinja chat template for a model that has none. ``None`` = keep the model's; if it has none, use ours."""


class Sampling(Section):
    """How tokens are drawn."""

    temperature: Temperature = 0.7
    """Softmax temperature. [ours]"""

    top_p: Nucleus = 0.9
    """Nucleus mass. [ours]"""

    max_new_tokens: Positive = 1024
    """Longest continuation, in tokens. [ours]"""


class Vllm(Section):
    """How ``engine = "vllm"`` runs. All but ``max_model_len`` is how, not what: it is no part of an artifact's key."""

    tensor_parallel: Positive = 1
    """GPUs that share one model. It must divide the model's attention heads; a CPU takes 1."""

    gpu_memory_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.9
    """Share of every GPU's memory for weights, activations and cache together."""

    kv_cache_gib: Annotated[float, Field(gt=0.0)] | None = None
    """Memory for keys and values, in GiB per device. ``None`` = what ``gpu_memory_share`` leaves; on a CPU 1."""

    max_model_len: Positive | None = None
    """Longest text with its continuation, in tokens. ``None`` = the model's context; less makes a larger batch fit."""

    prefix_caching: bool = True
    """Compute what texts begin with in common once: a prompt for all its samples, the judge's prompt for all its
    responses."""

    enforce_eager: bool | None = None
    """Run without CUDA graphs and compilation: slower, and started in seconds. ``None`` = on a CPU only."""


class Inference(Section):
    """What every stage that runs a model has in common."""

    engine: Engine = "hf"
    """Library that runs the model: ``vllm``, ``hf`` (transformers), or ``echo`` (no model; for tests)."""

    vllm: Vllm = Vllm()
    """Memory, devices and lengths of ``engine = "vllm"``."""

    dtype: Dtype = "auto"
    """Arithmetic. ``auto`` = bfloat16 on a GPU, float32 on a CPU."""

    batch_rows: Positive = 256
    """Sequences that are decoded or scored at once; with ``vllm`` at most, as its memory allows."""

    part_rows: Positive = 4096
    """Rows per published part: what a killed process loses at most. Fixed by the section, never by the workers."""

    def keyed(self) -> dict[str, Any]:
        """See ``Section.keyed``: of ``vllm`` only what changes a result."""
        values = self.model_dump(mode="json", exclude={"vllm"})
        if self.engine == "vllm" and self.vllm.max_model_len is not None:
            values["vllm"] = {"max_model_len": self.vllm.max_model_len}
        return values

    @model_serializer(mode="wrap")
    def _as_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves ``vllm`` out where nothing in it was set: most runs have no use for six settings per stage."""
        values: dict[str, Any] = write(self)
        if self.vllm == type(self).model_fields["vllm"].default:
            values.pop("vllm", None)
        return values


class Synthesize(Inference):
    """The base model writes new prompts after a few shots (paper section 3.1)."""

    num_attempts: Positive = 100_000_000
    """Prompts asked for, before de-duplication. Paper: a pool of 100M unique prompts. [P 3.1]"""

    min_shots: Positive = 3
    """Fewest seed prompts shown. [P 3.1]"""

    max_shots: Positive = 5
    """Most seed prompts shown. [P 3.1]"""

    header: str = "Here is a list of questions and requests that people sent to an assistant.\n\n"
    """Text before the first shot. [ours]"""

    item: str = "{index}. {prompt}\n\n"
    """One shot; the model continues after the part before ``{prompt}`` of the next one. [ours]"""

    stop: tuple[str, ...] = ("\n\n{next_index}.",)
    """Texts that end the new prompt; ``{next_index}`` is the number that would follow. [ours]"""

    sampling: Sampling = Sampling(temperature=1.0, top_p=0.95, max_new_tokens=512)
    """[ours]"""

    seed: int = 0
    """Seed of shots and sampling; set from the run's seed when the recipe runs."""

    @model_validator(mode="after")
    def _shots(self) -> Synthesize:
        if self.min_shots > self.max_shots:
            raise ValueError(f"min_shots = {self.min_shots} is above max_shots = {self.max_shots}")
        if self.item.count("{prompt}") != 1:
            raise ValueError(f"item must contain {{prompt}} exactly once, not {self.item!r}")
        return self


class Curate(Section):
    """What becomes of the candidates: filters, duplicates, decontamination."""

    min_chars: Positive = 2
    """Shorter prompts are dropped. [ours]"""

    max_chars: Positive = 4000
    """Longer prompts are dropped. [ours]"""

    max_repetition: Share = 0.5
    """Largest share of a prompt's word 3-grams that may be repeats. [ours]"""

    pattern: str | None = None
    """Regular expression that a prompt must match in full. [ours]"""

    markers: tuple[str, ...] = ()
    """Texts that betray a leftover of a template; prompts that contain one are dropped. [ours]"""

    near_duplicate: Share | Literal["off"] = 0.7
    """Jaccard similarity of character 5-grams (MinHash) from which two prompts are one. [ours]"""

    require_end: bool = True
    """Drop prompts that were cut off by the token limit. [ours]"""

    part_rows: Positive = 65536
    """Rows per part."""

    seed: int = 0
    """Seed of the MinHash permutations."""


class Embed(Inference):
    """Mean of the last hidden layer over a prompt's tokens, L2-normalised (paper section 3.1)."""

    dimensions: Positive | Literal["all"] = 256
    """Random projection to this many dimensions; ``all`` = the model's own. [ours]"""

    max_tokens: Positive = 512
    """Only the first this many tokens of a prompt are read. [ours]"""

    seed: int = 0
    """Seed of the projection."""


class Diversify(Section):
    """Clusters the pool and lays it out in the order in which rounds draw from it (paper section 3.1)."""

    method: Literal["kmeans", "random"] = "kmeans"
    """``kmeans`` one unused prompt from each of K clusters; ``random`` the paper's ablation. [P 3.1]"""

    num_clusters: Positive = 1_000_000
    """Clusters. Pool : clusters : K = 2000 : 20 : 1. [P 3.1]"""

    reserve: Annotated[int, Field(ge=0)] = 0
    """Prompts at the head of the order kept for the judge's self-distillation; set by the recipe."""

    per_round: Positive = 50_000
    """K, prompts per round; set by the recipe."""

    part_rows: Positive = 4096
    """Rows per part; a round fetches only the parts it draws from."""

    seed: int = 0
    """Seed of k-means and of the order."""


class Finetune(Section):
    """Trains a model from a checkpoint: SFT, DPO, or the judge's rating loss."""

    trainer: Literal["trl", "echo"] = "trl"
    """Library that trains; ``echo`` trains nothing (tests)."""

    objective: Literal["sft", "dpo", "judge"] = "sft"
    """What is learnt: responses, preferences, or ratings."""

    dtype: Dtype = "auto"
    """``auto`` = bfloat16 on a GPU, float32 on a CPU."""

    epochs: Annotated[float, Field(gt=0)] = 2.0
    """Passes over the rows. [ours]"""

    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    """Peak of the cosine schedule. [ours; the usual 5e-7 for DPO]"""

    warmup_share: Share = 0.03
    """Share of the steps spent warming up. [ours]"""

    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's decoupled decay. [ours]"""

    batch_rows: Positive = 128
    """Rows per optimizer step over all devices. [ours]"""

    micro_batch_rows: Positive = 8
    """Rows per forward pass on one device; the rest is gradient accumulation."""

    max_tokens: Positive = 4096
    """Longest row; longer ones are set aside and counted. [ours]"""

    packing: bool = True
    """Join the rows of a forward pass into one sequence without padding, each seeing only itself (SFT only). [ours]"""

    beta: Annotated[float, Field(gt=0)] = 0.1
    """DPO: strength of the pull towards the reference model. [ours]"""

    labels: Literal["soft", "rounded"] = "soft"
    """Judge on its own scores: the whole distribution, or its rounded mean as text. [ours]"""

    template: str = JUDGE_TEMPLATE
    """Judge only: the rating prompt, as in ``Judge.template``."""

    checkpoint_steps: Positive = 100
    """Optimizer steps between checkpoints: what a killed training loses at most."""

    max_bad_share: Share = 0.05
    """Share of rows too long to train on up to which the stage goes on. [ours]"""

    seed: int = 0
    """Seed of the data order; set from the run's seed when the recipe runs."""

    @model_validator(mode="after")
    def _batch(self) -> Finetune:
        if self.batch_rows % self.micro_batch_rows and self.batch_rows > self.micro_batch_rows:
            raise ValueError(
                f"batch_rows = {self.batch_rows} is not a multiple of micro_batch_rows = {self.micro_batch_rows}"
            )
        return self


class Respond(Inference):
    """Samples N responses to each prompt, in equal shares over a pool of checkpoints (paper section 3.2)."""

    num_samples: Positive = 200
    """N, responses per prompt over all checkpoints. [P 3.2]"""

    num_prompts: Positive | None = 50_000
    """K, prompts per round; ``None`` = every prompt there is. [P 3.1]"""

    first_prompt: Annotated[int, Field(ge=0)] = 0
    """Where in the draw order this round begins; set by the recipe."""

    sampling: Sampling = Sampling()
    """[ours]"""

    seed: int = 0
    """Seed of the sampling; set from the run's seed when the recipe runs."""


class Scoring(Inference):
    """What every stage that asks a judge has in common (paper section 3.3.4)."""

    template: str = JUDGE_TEMPLATE
    """Rating prompt with ``{prompt}`` and ``{response}``; ends where the rating's first digit begins. [P 3.3.1]"""

    min_mass: Share = 0.5
    """Probability of the scale below which a judgement is unparsable, counted and kept out. [ours]"""

    max_tokens: Positive = 8192
    """Longest rating prompt; longer ones are unparsable. [ours]"""

    @model_validator(mode="after")
    def _template(self) -> Self:
        check_judge_template(self.template)
        return self


class Judge(Scoring):
    """Reads p(0..10) of every response at one position (paper section 3.3.4)."""

    max_bad_share: Share = 0.05
    """Share of unparsable judgements above which the stage fails. [ours]"""


class Select(Section):
    """Turns judgements into training rows (paper section 3.2)."""

    score: Literal["real", "integer", "risk_averse"] = "real"
    """How a judgement is read: Σ k·p(k) [P 3.3.4]; argmax p(k); mean - ``risk`` · std (arXiv 2503.03064)."""

    risk: Annotated[float, Field(ge=0)] = 1.0
    """λ of the risk-averse score. [ours]"""

    length_tolerance: Annotated[float, Field(ge=0)] | None = None
    """Among responses within this many points of the best, take the shortest (arXiv 2407.19594). ``None`` = off [P]."""

    require_end: bool = True
    """Leave out responses that the token limit cut off: trained on, they would teach to stop in mid-sentence. [ours]"""

    pairs: Literal["best_vs_random", "best_vs_worst", "ordered_pair"] | None = None
    """``None`` best-of-n SFT [P 3.2]; else preference pairs for DPO [P 5.3]."""

    round: Positive = 1
    """The round these rows belong to; set by the recipe."""

    part_rows: Positive = 65536
    """Rows per part."""

    seed: int = 0
    """Breaks ties and draws the random side of pairs; set from the run's seed when the recipe runs."""


class Evaluate(Scoring):
    """Answers the evaluation prompts greedily and scores the answers."""

    vllm: Vllm = Vllm(gpu_memory_share=0.45)
    """As of the other stages; the model and the judge are in memory together, each with this share."""

    max_new_tokens: Positive = 1024
    """Longest answer, in tokens."""


class Report(Section):
    """One cumulative page."""

    title: str = "ALMA"
    """Heading of the page."""

    label: str = ""
    """The name of this point on the page's time axis ("round 03"); set by the recipe."""

    round: Annotated[int, Field(ge=0)] = 0
    """The round this page ends with; set by the recipe."""

    num_samples_shown: Positive = 200
    """Prompts of each round in the sample browser."""

    seed: int = 0
    """Picks the samples that are shown."""


def check_judge_template(template: str) -> None:
    """Raises ``ValueError`` unless ``template`` has ``{prompt}`` then ``{response}``, each once, and ends in text."""
    before, prompt, rest = template.partition("{prompt}")
    between, response, after = rest.partition("{response}")
    if not (prompt and response and after) or "{response}" in before + after or "{prompt}" in between + after:
        raise ValueError(
            "template must contain {prompt} and then {response}, each once, and end with the text before the rating "
            f"(such as 'Rating: [['); it is {template!r}"
        )
