"""One run: its loop, its folder, its checkpoints, its signals, its picture.

Imports the rooms below: `train.engine`, `train.data`, `train.settings`. A new picture
of a run is a function in `plot.py`; a new file of a run is written in `records.py` and
read back there.
"""

import logging

# Where it cannot keep its cache, Matplotlib would say so in four lines.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
