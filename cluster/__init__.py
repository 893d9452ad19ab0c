"""Kubernetes objects that alma itself makes: a stage's shards and nodes are one Indexed Job.

::

    placement   what a stage's Job needs of the cluster, as ``[placement]`` and the form have it (no client needed)
    work        what a command line asks for: the artifact's name, its settings and inputs, one pod's command line
    names       names and labels
    pod job network   the objects, as plain data
    reach       the API as a pod or a person reaches it
    api         requests with patience; shapes: what is read of the answers
    adopt       one Job per artifact, made or found; connect: its pods
    pods progress failure follow   how it goes, and why it does not
    stage clean delete   the two commands

``python -m cluster stage STAGE …`` takes what ``alma stage`` takes, and leaves what it leaves.
"""
