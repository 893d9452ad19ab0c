"""Models that somebody serves, at any endpoint as OpenAI has it.

============  ==============================================
``generate``  ``OpenaiGenerator``
``score``     ``OpenaiScorer``: the ratings that are listed
``chat``      ``OpenaiChat``: texts of a model that is only asked
``model``     an endpoint beside the tokenizer of its model
``endpoint``  what an endpoint is asked
``http``      requests, with patience
============  ==============================================
"""
