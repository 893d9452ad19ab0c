"""alma: align a language model that you own, on machines that you own, from 9,000 human labels.

The package is the method (ALMA, arXiv 2412.04305), written once in plain Python. It knows nothing of
Kubernetes or Kubeflow Pipelines; those are interpreters of it and live in ``components`` and ``pipelines``.
"""

__version__ = "0.1.0"
