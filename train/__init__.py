"""The training program, `python -m train`: five rooms, each built on those before it.

`settings`, `data`, `engine`, `runs`, `studies`: a room imports only from the rooms
before it in this list. `errors.py` and `paths.py` lie below them all, `__main__.py`
above. `make lint` checks this.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    # Imported late: options and `--help` need no JAX.
    if name == "load_run":
        from train.runs.trained import load_run

        return load_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
