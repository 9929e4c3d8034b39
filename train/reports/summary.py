"""The sentences that a report begins with: the question, and the answer."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from train.reports import observed_tables, tables
from train.reports.outcomes import Comparison, Result

# They ignore the loss. The sharpest stands last: the phases of another run come in
# stretches as LCAM's own do, and know nothing of its loss.
CONTROLS = ("matched-step", "chance", "shuffled", "borrowed")


def summarize(
    about: dict[str, Any], results: Sequence[Result], comparisons: Sequence[Comparison]
) -> str:
    """The first paragraph of a report; the comparisons are in the primary outcome."""
    sentences = [f"**{about['question']}**", about["note"], findings(comparisons)]
    found = [e.detectable for e in comparisons if not math.isnan(e.detectable)]
    if found:
        sentences.append(
            "To be found 4 times in 5, a true difference must be of "
            f"{tables.span(found, tables.percent)} points."
        )
    sentences += [*conclusions(comparisons), *_kappas(results)]
    return " ".join(filter(None, sentences))


def findings(comparisons: Sequence[Comparison]) -> str:
    """Which differences are significant."""
    settled = [each for each in comparisons if each.is_significant]
    if not settled:
        if all(each.num_seeds == 1 for each in comparisons):
            return "One seed is no evidence." if comparisons else ""
        if len(comparisons) == 1:
            return "The difference is not significant."
        number = len(comparisons)
        return f"None of {number} differences is significant after correction."
    several = len({each.block for each in comparisons}) > 1
    sentences = [
        f"The test error of `{each.arm}` is {abs(each.mean):.2f} points "
        f"{'lower' if each.mean < 0 else 'higher'} than that of "
        f"`{each.reference}`{' on ' + each.block if several else ''}."
        for each in settled
    ]
    if len(comparisons) > len(settled):
        sentences.append("No other difference is significant after correction.")
    return " ".join(sentences)


def conclusions(comparisons: Sequence[Comparison]) -> list[str]:
    """Says whether the loss carried information, where the controls were run."""
    sharpest = {}
    for each in comparisons:
        if each.reference == "lcam" and each.arm in CONTROLS:
            others = sharpest.get(each.block, each), each
            sharpest[each.block] = max(others, key=lambda e: CONTROLS.index(e.arm))
    found: dict[tuple[str, bool], list[str]] = {}
    for block, each in sharpest.items():
        beats = each.is_significant and each.mean > 0
        found.setdefault((each.arm, beats), []).append(block)
    several = len({each.block for each in comparisons}) > 1
    return [
        f"LCAM {'beats' if beats else 'does not beat'} its sharpest control, "
        f"`{arm}`{', on ' + ', '.join(blocks) if several else ''}: "
        + ("" if beats else "nothing here shows that ")
        + "the loss carries information for the choice."
        for (arm, beats), blocks in found.items()
    ]


def _kappas(results: Sequence[Result]) -> list[str]:
    """How well LCAM's own phase is told, where that was watched."""
    found = {
        result.block["name"]: np.nanmean(
            observed_tables.kappas(result.observed.loc["lcam"])
        )
        for result in results
        if result.block["experiment"]["observe"] in observed_tables.TRUTHS
        and "lcam" in result.arms
    }
    if not found:
        return []
    listed = ", ".join(f"{kappa:.2f} on {block}" for block, kappa in found.items())
    return [f"Kappa, which is 0 where a phase tells nothing, is {listed} for `lcam`."]
