"""Vectors of an embedder, made comparable. Axes: P texts, D dimensions."""

from __future__ import annotations

import numpy as np

from alma.engines.requests import Floats


def unit_rows(vectors_PD: Floats) -> Floats:
    """Rows of length 1; a zero row stays zero."""
    lengths_P1 = np.linalg.norm(vectors_PD, axis=1, keepdims=True)
    unit_PD: Floats = vectors_PD / np.where(lengths_P1 > 0, lengths_P1, 1.0)
    return unit_PD
