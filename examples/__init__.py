"""Scripts to copy: each shows one use of LCAM, and imports nothing of `train/`."""
