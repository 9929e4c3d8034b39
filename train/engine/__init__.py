"""What is compiled: networks, optimizers, the training step, and the program of a run.

Imports `train.data` and `train.settings`, `models` and `lcam_optax`. Knows of no files.
"""
