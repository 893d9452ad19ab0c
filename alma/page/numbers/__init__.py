"""What ``report.json`` holds: the numbers of every point of the run so far, and nothing that a model wrote.

A point is one stop on the page's time axis: the base model, the initial SFT, then each round. What a point has no input
for is ``None`` or empty, and the page says so. Fractions are 0..1, scores 0..10, lengths in tokens, times in seconds.
"""

from __future__ import annotations

from alma.page.numbers.estimate import MOST, Estimate, Numbers, check_lengths
from alma.page.numbers.evaluation import BestOfN, Family, Measure, Quality
from alma.page.numbers.judging import Bin, JudgeValidation, Reading
from alma.page.numbers.outside import Outside, OutsideMeasure
from alma.page.numbers.point import Point, Report
from alma.page.numbers.rounds import Checkpoint, Imitation, Overlap, Prompts, Sampling, Selection
from alma.page.numbers.training import UNKNOWN, Check, Proof, StageCost, Training

__all__ = [
    "MOST",
    "UNKNOWN",
    "BestOfN",
    "Bin",
    "Check",
    "Checkpoint",
    "Estimate",
    "Family",
    "Imitation",
    "JudgeValidation",
    "Measure",
    "Numbers",
    "Outside",
    "OutsideMeasure",
    "Overlap",
    "Point",
    "Prompts",
    "Proof",
    "Quality",
    "Reading",
    "Report",
    "Sampling",
    "Selection",
    "StageCost",
    "Training",
    "check_lengths",
]
