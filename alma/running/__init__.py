"""Running work: one stage once, a recipe on this machine, a stage in a pod, the first and the last task of a pipeline.

::

    stage      one stage once: name the work, skip it if it is sealed, call, seal
    recipe     a whole method on this machine; local: the ``do`` of it, a process per stage
    pod        a stage as a pod runs it; preflight and finish: a pipeline's first and last task; hand_on: a layer's
    ledger     what a run in a cluster has so far, handed from layer to layer
    form       what a person typed into a pipeline's form; executor_input: what KFP gives a task
    outputs    the files that a stage leaves are none that it reads
    endpoints  what is asked elsewhere, reached before any work; exams: what is examined, looked up then too
    stopping   signals; scratch: the folder that outlives a killed attempt
    lease      ends pods that nobody follows any more; helper: the end of a machine that helped in a training
    threads    how the threads of numerical libraries wait for each other
"""
