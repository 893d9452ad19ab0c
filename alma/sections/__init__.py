"""The settings of each stage: one frozen section per use of a stage.

A section is all of a stage's settings and nothing else: it travels to a pod as JSON and is part of the artifact's key,
so two runs whose sections and inputs agree share their work. The source of every default is named in its docstring:
[P] the paper (arXiv 2412.04305) with its section, [ours] where the paper is silent.

This module imports no machine-learning library, directly or indirectly (a test holds that).
"""

from __future__ import annotations

from alma.sections.evaluate import Evaluate, Harm, Refusals
from alma.sections.evaluators import BY, Answers, Chat, Evaluator, Harness, Outsider, Reward, Safety, endpoint_of
from alma.sections.feedback import Respond, Select
from alma.sections.finetune import Finetune, Lora
from alma.sections.imitate import Imitate, Turns
from alma.sections.inference import Dtype, Engine, Inference, Nucleus, OpenAI, Sampling, Temperature, Vllm
from alma.sections.ingest import Ingest, IngestModel, IngestRows, IngestTasks
from alma.sections.judge import Judge, Rationale, Scoring, check_judge_template
from alma.sections.likeness import Likeness
from alma.sections.prompts import Curate, Diversify, Embed, Synthesize
from alma.sections.reference import Reference
from alma.sections.report import Report
from alma.sections.section import Fraction, Positive, Section

__all__ = [
    "BY",
    "Answers",
    "Chat",
    "Curate",
    "Diversify",
    "Dtype",
    "Embed",
    "Engine",
    "Evaluate",
    "Evaluator",
    "Finetune",
    "Fraction",
    "Harm",
    "Harness",
    "Imitate",
    "Inference",
    "Ingest",
    "IngestModel",
    "IngestRows",
    "IngestTasks",
    "Judge",
    "Likeness",
    "Lora",
    "Nucleus",
    "OpenAI",
    "Outsider",
    "Positive",
    "Rationale",
    "Reference",
    "Refusals",
    "Report",
    "Respond",
    "Reward",
    "Safety",
    "Sampling",
    "Scoring",
    "Section",
    "Select",
    "Synthesize",
    "Temperature",
    "Turns",
    "Vllm",
    "check_judge_template",
    "endpoint_of",
]
