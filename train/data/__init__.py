"""The data sets, and what is done to images.

Imports `train.settings`. A new data set is a function that returns a `Dataset`, and an
entry in `train/settings/options.py`.
"""
