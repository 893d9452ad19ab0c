"""Training of any model: SFT, DPO, the judge."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from alma.prompts import JUDGE_TEMPLATE
from alma.sections.inference import Dtype
from alma.sections.section import HOW, QUIET, Devices, Fraction, Positive, Section, Seed

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


MOST_EPOCHS = 10**5


class Lora(Section):
    """A low-rank adapter (arXiv 2106.09685), trained in place of the weights and merged into them at the end."""

    rank: Annotated[Positive, Field(le=2**16)] = 16
    """Rank of every adapter. [ours]"""

    alpha: Annotated[float, Field(gt=0)] = 32.0
    """The adapter's output is scaled by ``alpha / rank``. [ours]"""

    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Fraction of the adapter's inputs that are dropped in training. [ours]"""

    targets: Annotated[tuple[str, ...], Field(min_length=1)] | Literal["all-linear"] = "all-linear"
    """Names of the layers that get an adapter; ``all-linear`` = every linear layer but the output layer. [ours]"""


class Finetune(Section):
    """Trains a model from a checkpoint: SFT, DPO, or the judge's rating loss.

    A step is ``batch_rows`` rows, whichever devices share them and in however many forward passes: the settings of
    these are no part of an artifact's key. Sums of floating-point numbers alone differ in their order.
    """

    trainer: Literal["trl", "echo"] = "trl"
    """Library that trains; ``echo`` trains nothing (tests)."""

    objective: Literal["sft", "dpo", "judge"] = "sft"
    """What is learnt: responses, preferences, or ratings."""

    dtype: Dtype = "auto"
    """``auto`` = bfloat16 on a GPU, float32 on a CPU."""

    epochs: Annotated[float, Field(gt=0, le=MOST_EPOCHS)] = 2.0
    """Passes over the rows. [ours]"""

    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    """Peak of the cosine schedule. [ours; 5e-7 for DPO, unless the run file says another]"""

    warmup_share: Fraction = 0.03
    """Fraction of the steps spent warming up. [ours]"""

    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's decoupled decay. [ours]"""

    adam_betas: Annotated[tuple[Beta, Beta], QUIET] = (0.9, 0.999)
    """Decay of AdamW's running means of the gradient and of its square. [ours: PyTorch's]"""

    batch_rows: Positive = 128
    """Rows per optimizer step over all devices. [ours]"""

    micro_batch_rows: Annotated[Positive, HOW] = 8
    """Most rows per forward pass on one device; the rest is gradient accumulation. Where the memory is too small for
    it, it is halved until it fits."""

    num_devices: Annotated[Devices | None, QUIET, HOW] = None
    """Devices of this machine that train together, a process each. ``None`` = all GPUs that are visible; on a CPU 1."""

    parallel: Annotated[Literal["auto", "none", "ddp", "zero2", "zero3"], QUIET, HOW] = "auto"
    """What is shared between devices: nothing (``ddp``), the optimizer and gradients (``zero2``), the weights too
    (``zero3``). ``auto`` = ``none`` for one device, ``zero2`` for several GPUs, ``ddp`` for processes on a CPU."""

    activation_checkpointing: Annotated[bool | None, QUIET, HOW] = None
    """Compute activations again in the backward pass instead of keeping them: a third more arithmetic for most of their
    memory. ``None`` = on a GPU only."""

    liger: Annotated[bool | None, QUIET, HOW] = None
    """Use Liger's fused kernels. ``None`` = on a GPU, where the package is installed."""

    adapter: Annotated[Lora | None, QUIET] = None
    """Train a low-rank adapter and merge it into the weights at the end. ``None`` = train all weights. [ours]"""

    max_tokens: Positive = 4096
    """Longest row; longer ones are set aside and counted. [ours]"""

    dropout: Annotated[bool, QUIET] = False
    """Train with the dropout, layer drop and router noise that the model's config.json asks for (not by DPO, whose
    first loss would not be log 2). They are off otherwise; an adapter's own dropout is ``adapter.dropout``. [ours]"""

    router_loss: Annotated[float, Field(ge=0), QUIET] = 0.0
    """Mixtures of experts: weight of the loss that keeps the experts' shares of the tokens even, whatever the model's
    config.json says of it. It is learnt beside the rows and reported apart. [ours; 0.001 to 0.02 are usual]"""

    packing: bool = True
    """Join the rows of a forward pass into one sequence without padding, each seeing only itself (SFT only). They are
    padded where that is not possible: on a GPU without flash attention, or with a model whose joined rows would see one
    another. It is said, and the report's table of trainings has what was done. [ours]"""

    loss_on: Annotated[Literal["last", "all"], QUIET] = "last"
    """SFT on conversations: learn the last answer behind all that was said before it, or every answer of the
    assistant's. ``all`` needs a chat template that writes an earlier answer as the last one. [ours]"""

    beta: Annotated[float, Field(gt=0)] = 0.1
    """DPO: strength of the pull towards the reference model. [ours]"""

    labels: Literal["rounded", "sharpened", "soft"] = "soft"
    """Judge on its own scores; what a judge does by itself is ``sharpened``: the distribution, sharpened by
    ``label_temperature``, which measured best (docs/results.md). Or ``rounded``: the whole rating nearest to the mean.
    Or ``soft``, the distribution as it is, an ablation: training starts at the loss's minimum, so that a judge learns
    nothing of a reading of its own. [ours]"""

    label_temperature: Annotated[float, Field(gt=0.0, lt=1.0), QUIET] = 0.5
    """T of ``labels = "sharpened"``: p^(1/T), renormalised. [ours]"""

    template: str = JUDGE_TEMPLATE
    """Judge only: the rating prompt, as in ``Judge.template``."""

    checkpoint_steps: Annotated[Positive, HOW] = 100
    """Optimizer steps between checkpoints: what a killed training loses at most."""

    report_to: Annotated[tuple[Literal["tensorboard", "wandb", "mlflow"], ...], QUIET, HOW] = ()
    """Where the training's curves are shown while it runs; a library that is named must be installed. Where
    ``MLFLOW_TRACKING_URI`` is set, as KFP's MLflow plugin does, ``mlflow`` need not be named. What does not answer is
    told once and ends no training."""

    report_folder: Annotated[str | None, QUIET, HOW] = None
    """Folder of TensorBoard's files, on the machine that trains and no part of the artifact. ``None`` =
    ``$TENSORBOARD_LOGGING_DIR``, else ``tensorboard`` where the command runs."""

    max_bad_share: Fraction = 0.05
    """Fraction of rows too long to train on up to which the stage goes on. [ours]"""

    seed: Seed = 0
    """Seed of the data order; set from the run's seed when the recipe runs."""

    def reads(self) -> dict[str, bool]:
        """See ``Section.reads``."""
        return super().reads() | {"label_temperature": self.labels == "sharpened"}

    @model_validator(mode="after")
    def _devices(self) -> Finetune:
        if self.parallel == "none" and (self.num_devices or 1) > 1:
            raise ValueError(
                f"parallel = 'none' trains on one device and num_devices = {self.num_devices}; "
                "set parallel = 'ddp', 'zero2' or 'zero3'"
            )
        return self
