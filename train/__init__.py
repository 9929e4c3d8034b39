"""The training program: `python -m train run` and `python -m train compare`."""
