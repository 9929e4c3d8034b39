"""Many runs: which they are, and how they are run.

A new arm is an entry in `arms.py`, a new study one in `catalogue.py`.
"""
