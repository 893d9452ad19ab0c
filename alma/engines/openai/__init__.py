"""Models that somebody serves, at any endpoint as OpenAI has it.

============  ==============================================
``generate``  ``OpenaiGenerator``
``score``     ``OpenaiScorer``: the ratings that are listed
``model``     an endpoint beside the tokenizer of its model
``endpoint``  requests, with patience
============  ==============================================
"""
