"""Many runs: which they are, and how they are run.

A new arm is a function in `arms.py`, a new study an entry in `catalogue.py`.
"""
