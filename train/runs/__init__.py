"""One run: its loop, its folder, its checkpoints, its signals, its picture.

Imports the rooms below: `train.engine`, `train.data`, `train.settings`. `loop.py`
trains, `records.py` writes and reads rows, `command.py` is the command `run`.
"""

import logging

# Where it cannot keep its cache, Matplotlib would say so in four lines.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
