"""Models with transformers.

=============  =======================================================
``generate``   ``HfGenerator``
``score``      ``HfScorer``: a shared prefix is computed once
``embed``      ``HfEmbedder``
``classify``   ``HfClassifier``
``reference``  ``HfReference``: preference pairs under DPO's reference
``model``      a folder into memory
``decode``     sampling, a seed per sample
``stop_texts`` texts that end a sample
=============  =======================================================
"""
