"""What Kubeflow Pipelines knows of a stage: an image, a command line, ports, outputs, and what its pod asks for.

::

    stage                       the component of one use of a stage: exactly the ports that this use has
    outputs                     what a stage's artifact is called and typed in the dashboard
    preflight hand_on finish    the tasks around the stages; made: what a layer made, as parameters
    placement                   [placement] of a run file; resolve: what one stage's pod gets of it
    pod                         a task's pod: resources, credentials, volumes, labels

What travels between tasks are manifests of kilobytes and names of artifacts; stages fetch and publish the bytes.
"""
