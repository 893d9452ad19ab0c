"""The paper's scale (section 3.3.1), in words for people."""

from __future__ import annotations

from importlib import resources

GUIDELINES = resources.files(__package__).joinpath("guidelines.txt").read_text(encoding="utf-8")
"""What raters are told; the criteria are those of ``alma.prompts.JUDGE_TEMPLATE``."""

QUESTION = "How good is the response, from 0 (unusable) over 5 (average) to 10 (outstanding)?"
