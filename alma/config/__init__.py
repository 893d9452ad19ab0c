"""The run file: TOML in, one frozen tree of settings out, JSON between machines.

A run file has two roots: the method, such as ``[alma]``, typed here in the file of its name; ``[placement]``, the
cluster, typed elsewhere in the words of ``kubernetes`` and ignored on one machine. Everything is checked before any
work starts.
"""

from __future__ import annotations

from alma.config.alma import Alma, BestOfNCurve, Distill
from alma.config.isara import Baselines, Isara
from alma.config.method import Method
from alma.config.runfile import METHODS, explain, load, parse, read_tree

__all__ = [
    "METHODS",
    "Alma",
    "Baselines",
    "BestOfNCurve",
    "Distill",
    "Isara",
    "Method",
    "explain",
    "load",
    "parse",
    "read_tree",
]
