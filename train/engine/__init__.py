"""What is compiled: networks, optimizers, the training step, and the program of a run.

Imports `train.data` and `train.settings`, `models` and `lcam_optax`. Knows of no files.
A new optimizer is a case in `optimizers.py`, a network an entry in `networks.py`,
something to be watched in training an observer in `observers.py`.
"""
