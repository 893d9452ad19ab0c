"""Proves a model before it is used: what is safe with its architecture, found out in seconds and without its weights.

==============  ============================================================================
``miniature``   the architecture, small: few and narrow layers, random weights
``checks``      what is tried: the same texts in several ways, against each alone and whole
``prove``       all checks in their order, and what follows from them (``alma.engines.ways``)
==============  ============================================================================
"""
