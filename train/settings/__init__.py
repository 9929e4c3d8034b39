"""What a user can ask for: the options of every command, their checks, and presets.

Imports `train.errors` only, and no JAX: `--help` and bad options are answered at once.
A new option is a field in `options.py` or `optimizer.py` (of a run's parts) or in
`experiment.py` (of a run as a whole); its comment is its help text, its declaration its
range and what it belongs to. A published run is an entry in `presets.py`.
"""
