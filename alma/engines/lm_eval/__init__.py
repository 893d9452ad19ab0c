"""Exams by EleutherAI's harness, ``lm-eval``: tasks by their names, or of a folder of one's own.

============  ===========================================================
file          does
============  ===========================================================
``library``   imports ``lm_eval``, or says how to install it
``tasks``     finds tasks, refuses those that run what models write, fetches their data sets
``model``     the model as ``lm-eval`` asks it, by transformers or by vLLM
``examine``   one task after another; what they measured, as values
============  ===========================================================
"""
