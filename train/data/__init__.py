"""The data sets, and what is done to images.

Imports `train.settings`. A new data set is a function in `offline.py` that returns a
`Dataset`, an entry in `sources.py` that calls it, and its name in
`train/settings/options.py`.
"""
