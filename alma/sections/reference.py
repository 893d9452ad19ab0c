"""The reference model of DPO: what the training's start model thinks of the preference pairs."""

from __future__ import annotations

from typing import Annotated, Literal

from alma.sections.inference import Dtype
from alma.sections.section import HOW, Positive, Section


class Reference(Section):
    """Reads the log-probabilities of chosen and rejected responses once, for every training on these pairs.

    DPO's β is no setting here: a training with another one reads the same artifact.
    """

    engine: Literal["hf", "echo"] = "hf"
    """Library that runs the model: ``hf`` (transformers, as in training), or ``echo`` (no model; for tests)."""

    dtype: Dtype = "auto"
    """Arithmetic, that of the training: ``auto`` = bfloat16 on a GPU, float32 on a CPU. Weights are float32."""

    max_tokens: Positive = 4096
    """Longest prompt with response, as in training; longer ones are left out. [ours]"""

    batch_tokens: Annotated[Positive, HOW] = 8192
    """Tokens of one forward pass, padding included; a longer pair has one of its own."""

    part_rows: Annotated[Positive, HOW] = 4096
    """Rows per published part: what a killed process loses at most."""
