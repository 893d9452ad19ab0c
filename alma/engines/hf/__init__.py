"""Models with transformers.

=============  =======================================================
``generate``   ``HfGenerator``
``score``      ``HfScorer``: a shared prefix is computed once
``embed``      ``HfEmbedder``
``classify``   ``HfClassifier``
``reward``     ``HfReward``: raw logits of whole conversations
``reference``  ``HfReference``: preference pairs under DPO's reference
``headed``     what classifiers and reward models share: a head that gives a text numbers
``memory``     the device's memory, taken and given back
``model``      a folder into memory, and how it may be run (``alma.engines.ways``)
``described``  how large a model its config describes, before any of it is allocated
``left_over``  whether its weights are of more layers than the config counts
``rotary``     positions that are turned by each row's own length
``ends``       what is said at the ends of texts that begin alike
``growing``    texts that grow by a token at a time, with a cache or without
``decode``     sampling, a seed per sample; ``choose`` takes a token, ``ngrams`` says which would repeat
``stop_texts`` texts that end a sample
=============  =======================================================
"""
