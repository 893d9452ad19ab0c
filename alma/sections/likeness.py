"""When two prompts are too alike: for one to stand beside the other in the pool, or to be learnt and held out."""

from __future__ import annotations

from typing import Literal

from alma.sections.section import Fraction, Positive, Section


class Likeness(Section):
    """When two prompts count as one (``alma.text.overlap`` says how each is measured)."""

    near_duplicate: Fraction | Literal["off"] = 0.7
    """Jaccard similarity of character 5-grams from which two prompts are one: of the pool (by MinHash), and of two sets
    that should share none. [ours]"""

    ngram_words: Positive = 8
    """Words of an n-gram. [ours; 8 to 13 are usual]"""

    ngram_share: Fraction | Literal["off"] = 0.7
    """Fraction of a prompt's word n-grams that stand in another set's prompt from which the two are one. Prompts with
    fewer words than an n-gram are not compared so. [ours; PaLM's]"""
