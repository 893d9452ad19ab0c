"""Traces a recipe into a Kubeflow pipeline; compiles, submits and follows it."""
