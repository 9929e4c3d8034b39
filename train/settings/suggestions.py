"""What a misspelt word may have meant."""

import difflib
from collections.abc import Iterable

# Names that other programs have for our options and commands.
_ALIASES = {
    "arch": "network",
    "batch": "batch-size",
    "beta1": "adam-b1",
    "beta2": "adam-b2",
    "bs": "batch-size",
    "continue": "resume",
    "dataset": "data",
    "eps": "adam-epsilon",
    "folder": "out",
    "gpus": "devices",
    "lr": "learning-rate",
    "model": "network",
    "mom": "momentum",
    "mu": "momentum",
    "num-epochs": "epochs",
    "opt": "optimizer",
    "optim": "optimizer",
    "output": "out",
    "output-dir": "out",
    "save-dir": "out",
    "scheduler": "schedule",
    "seeds": "seed",
    "train": "run",
    "warmup": "warmup-epochs",
    "wd": "weight-decay",
}


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that another one most likely stands for, if there is one."""
    known = list(known)
    plain = word.strip("-").lower().replace("_", "-")
    alias = _ALIASES.get(plain)
    if alias in known:
        return alias
    matches = difflib.get_close_matches(plain, known, n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str], form: str = "{}") -> str:
    """A question to append to a message; empty if no known word comes close.

    Args:
      word: what was typed.
      known: what could have been.
      form: how a known word is typed.
    """
    match = closest(word, known)
    return "" if match is None else f" Did you mean {form.format(match)}?"


def listing(words: Iterable[str], last: str = "or") -> str:
    """Words as a list in a sentence: a, b or c."""
    words = [str(word) for word in words]
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
