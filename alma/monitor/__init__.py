"""Looking at runs and artifacts, while they grow and afterwards. Nothing here changes what is computed.

::

    journal    what the steps of a run are doing, kept in the store
    watch      the same as one step per label, for whoever follows a run; status: on a terminal
    display    bars on a terminal, or JSON lines; outcome: what a run left
    show       an artifact on one screen; trace: a row back to its origin; probe: what was proven of a model
    dashboard  what KFP's dashboard shows of a step
"""
