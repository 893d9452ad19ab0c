"""What KFP knows of each stage: an image, a command line, ports, metrics. One container component per file.

All of them run ``alma stage …`` in the same way (``components.container``). What travels between tasks are
manifests of kilobytes (an artifact's type says what its manifest describes); the stages fetch and publish the bytes.
"""
