"""Many runs: which they are, how they are run, what they come to, the report.

Imports every other room. A new arm is a function in `arms.py`, a new study an entry in
`catalogue.py`, a new outcome an entry in `outcomes.py`, a new picture of a study a
function in `pictures.py`.
"""
