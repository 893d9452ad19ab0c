"""Traces a recipe into a Kubeflow pipeline; compiles, submits and follows it.

::

    trace      a recipe into KFP's tasks, layer by layer; form: the fields that a person changes from run to run
    job_placement  what the Jobs of its stages are made from
    compile    a run file into YAML; shrink makes it small, rules (a folder) holds it to what a backend does
    run_file_pipeline  the same for plain ``kfp dsl compile``
    size       how large the run's workflow will be; workflow: what Argo stores of it; patch: what KFP makes of a pod
    draw       pictures of its layers
    package    what a compiled pipeline says of itself
    runs       a run on a server; compiled: the pipelines of the examples
"""
