"""What runs come to, and how it is told: rows, statistics, reports, pictures.

A new outcome is an entry in `outcomes.py`, a new picture of a study a module beside
`panels.py` (curves over the epochs) and `forest.py` (differences with intervals).
"""
