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

    Where none does as a whole, those may be meant that begin alike: figur3 may stand
    for figure3-sgd-0.9 and its like.

    Args:
      word: what was typed.
      known: what could have been.
      form: how a known word is typed.
    """
    known = list(known)
    match = closest(word, known)
    matches = [match] if match else _beginning_like(word, known)
    words = listing(form.format(match) for match in matches)
    return f" Did you mean {words}?" if matches else ""


def spaces_hint(text: str) -> str:
    """What to append to a message where one word holds several with commas."""
    return " Put spaces between several." if "," in text else ""


def _beginning_like(word: str, known: list[str]) -> list[str]:
    """The known words whose part before the first hyphen is closest to the word's."""
    first = closest(_first_part(word.strip("-")), map(_first_part, known))
    return [other for other in known if _first_part(other) == first]


def _first_part(word: str) -> str:
    return word.partition("-")[0]


def listing(words: Iterable[str], last: str = "or") -> str:
    """Words as a list in a sentence: a, b or c."""
    words = [str(word) for word in words]
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
