"""What a judgement says as one number, and which responses are selected by it: a table and a file each.

============  ==================================================================================================
``readings``  what is read of p(0..10) (``COLUMNS``), and the score that these columns give (``READINGS``)
``rules``     which responses of a prompt become a row to train on (``RULES``)
============  ==================================================================================================

The names of readings and rules are choices of ``alma.sections.Select``.
"""
