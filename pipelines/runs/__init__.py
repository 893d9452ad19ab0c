"""A run on a server: submit it, again if it fails of what may pass; follow it, look at it, stop it.

::

    submit     create a run; arguments: its parameters; names: what it is called; submission: it and further attempts
    follow     tell what happens in it; steps: its tasks as a person reads them; status: look at one run, or at many
    attempts   its runs, one after another; causes: why one failed, and whether another can pass
    attend     what becomes of it when this process is told to end; signals: SIGTERM and Ctrl-C as exceptions
    stop       stop it; leftover: delete what is left of its Jobs
    pods       what became of its pods; stuck: those that do not begin
    journal    what its steps say of themselves in its store
    notices    what a follower shows on its own Job; job: that Job; events: what it tells on standard error
    client     the one door to KFP's API; experiments: where runs live
    kube       the one door to the Kubernetes API
"""
