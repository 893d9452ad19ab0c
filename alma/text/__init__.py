"""Text: when two are one, how alike they are, how they are written in turns, how they are shown.

::

    normalise  when two texts are one; overlap: what sets that should share none have in common
    common     how many grams a text has in common with each of many
    rouge      how much of two texts is one sequence of words
    twice      which of many names stands twice
    shots      which rows are shown as examples; turns: how they are written bare
    refusal    whether an answer refuses; verdict: what a model that was asked for one has said
    matching   whether it matches a regular expression that somebody wrote; matcher: the process that tries, in bounds
    visible    texts of others on a page or a terminal; plain: on one line
"""
