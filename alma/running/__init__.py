"""Running work: one stage once, a recipe on this machine, a stage in a pod, the first and the last task of a pipeline.

::

    stage      one stage once: name the work, skip it if it is sealed, call, seal
    recipe     a whole method on this machine; local: the ``do`` of it, a process per stage
    pod        a stage as a pod runs it; preflight and finish: a pipeline's first and last task
    endpoints  what is asked elsewhere, reached before any work
    stopping   signals; scratch: the folder that outlives a killed attempt
"""
