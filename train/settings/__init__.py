"""What a user can ask for: the options of every command, their checks, and presets.

Imports `train.errors` only, and no JAX: `--help` and bad options are answered at once.
A new option is a field: its comment is its help text, its declaration (`fields.py`) its
range and what it belongs to.
"""
