"""An engine without a model: every answer is a function of a hash. For tests, of alma and of those who build on it.

It keeps the contracts of ``alma.engines`` (order, seeds, stop texts, token limits, resume) and needs neither torch nor
a real model: any folder will do, and folders with other contents answer otherwise. A token is a word.

=============  ====================================================
``generate``   ``EchoGenerator``
``score``      ``EchoScorer``
``embed``      ``EchoEmbedder``
``classify``   ``EchoClassifier``
``reward``     ``EchoReward``
``examine``    ``EchoExaminer``
``reference``  ``EchoReference``
``train``      ``EchoTrainer``
``model``      what tells one folder from another; hashes and words
=============  ====================================================
"""
