"""The sentences that a report begins with: the question, and the answer."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from train.reports import observed_tables, statistics, tables
from train.reports.outcomes import Comparison, Result

# They ignore the loss. The sharpest stands last: the phases of another run come in
# stretches as LCAM's own do, and know nothing of its loss.
CONTROLS = ("matched-step", "chance", "shuffled", "borrowed")


def summarize(
    about: dict[str, Any], results: Sequence[Result], comparisons: Sequence[Comparison]
) -> str:
    """The first paragraph of a report.

    Args:
      about: as in `study.json`.
      results: of all blocks.
      comparisons: in the primary outcome.
    """
    sentences = [f"**{about['question']}**", about["note"]]
    sentences.append(verdict(comparisons))
    found = [
        each.difference.detectable
        for each in comparisons
        if not math.isnan(each.difference.detectable)
    ]
    if found:
        low, high = tables.percent(min(found)), tables.percent(max(found))
        span = low if low == high else f"{low} to {high}"
        sentences.append(
            f"To be found 4 times in 5, a true difference must be of {span} points."
        )
    sentences += [*conclusions(comparisons), *_kappas(results)]
    return " ".join(filter(None, sentences))


def verdict(comparisons: Sequence[Comparison]) -> str:
    """Which differences are significant."""
    settled = [each for each in comparisons if each.corrected_p < statistics.LEVEL]
    if not settled:
        if all(each.difference.num_seeds == 1 for each in comparisons):
            return "One seed is no evidence." if comparisons else ""
        if len(comparisons) == 1:
            return "The difference is not significant."
        number = len(comparisons)
        return f"None of {number} differences is significant after correction."
    several = len({each.block for each in comparisons}) > 1
    sentences = [
        f"The test error of `{each.arm}` is {abs(each.difference.mean):.2f} points "
        f"{'lower' if each.difference.mean < 0 else 'higher'} than that of "
        f"`{each.reference}`{' on ' + each.block if several else ''}."
        for each in settled
    ]
    if len(comparisons) > len(settled):
        sentences.append("No other difference is significant after correction.")
    return " ".join(sentences)


def conclusions(comparisons: Sequence[Comparison]) -> list[str]:
    """Says whether the loss carried information, where the controls were run."""
    found: dict[tuple[str, bool], list[str]] = {}
    for block in dict.fromkeys(each.block for each in comparisons):
        against = {
            each.arm: each
            for each in comparisons
            if (each.block, each.reference) == (block, "lcam")
        }
        controls = [name for name in CONTROLS if name in against]
        if controls:
            each = against[controls[-1]]
            beats = each.corrected_p < statistics.LEVEL and each.difference.mean > 0
            found.setdefault((each.arm, beats), []).append(block)
    several = len({each.block for each in comparisons}) > 1
    return [
        f"LCAM {'beats' if beats else 'does not beat'} its sharpest control, "
        f"`{arm}`{', on ' + ', '.join(blocks) if several else ''}: "
        + (
            "the loss carries information for the choice."
            if beats
            else "nothing here shows that the loss carries information for the choice."
        )
        for (arm, beats), blocks in found.items()
    ]


def _kappas(results: Sequence[Result]) -> list[str]:
    """How well LCAM's own phase is told, where that was watched."""
    found = {
        result.block["name"]: np.nanmean(
            observed_tables.kappas(list(result.epochs["lcam"].values()))
        )
        for result in results
        if result.block["experiment"]["observe"] in observed_tables.TRUTHS
        and "lcam" in result.epochs
    }
    if not found:
        return []
    listed = ", ".join(f"{kappa:.2f} on {block}" for block, kappa in found.items())
    return [f"Kappa, which is 0 where a phase tells nothing, is {listed} for `lcam`."]
