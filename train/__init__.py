"""The training program, `python -m train`: five rooms, each built on those before it.

`settings`, `data`, `engine`, `runs`, `studies`: a room imports only from the rooms
before it in this list. `errors.py` and `paths.py` lie below them all, `__main__.py`
above. `make lint` checks this.
"""
