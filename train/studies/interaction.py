"""Whether the difference of two arms depends on the data: between blocks, by seed."""

from collections.abc import Sequence

from train.studies import statistics, table
from train.studies.outcomes import Result
from train.studies.statistics import signed


def section(results: Sequence[Result], arms: Sequence[str], outcome: str) -> list[str]:
    """Paragraphs and a table: each later block against the first.

    Args:
      results: of the blocks, with the same seeds.
      arms: the two whose difference is compared, the first less the second.
      outcome: name of an outcome.
    """
    first, second = arms
    by_block = {
        result.block["name"]: {
            seed: run[outcome] - result.runs[second][seed][outcome]
            for seed, run in result.runs[first].items()
            if seed in result.runs[second]
        }
        for result in results
        if first in result.runs and second in result.runs
    }
    if len(by_block) < 2:
        return []
    start, *others = by_block
    found = []
    for name in others:
        both = [seed for seed in by_block[name] if seed in by_block[start]]
        columns = ([by_block[block][seed] for seed in both] for block in (name, start))
        found.append(statistics.paired_difference(*columns))
    corrected = statistics.holm([each.p_value for each in found])
    rows = [["data", "seeds", "difference", "95 % interval", "p, corrected", "verdict"]]
    for name, each, p in zip(others, found, corrected, strict=True):
        rows.append(
            [
                f"{name} less {start}",
                str(each.num_seeds),
                signed(each.mean),
                table.interval(each.mean, each.half_width),
                table.p_text(p),
                "depends on the data" if p < statistics.LEVEL else "open",
            ]
        )
    return [
        "## Does it depend on the data?",
        f"`{first}` less `{second}`, in points of the test error, on one block less on "
        f"another, seed by seed. Below 0, `{first}` does relatively better on the "
        "first of the two. p is two-sided, and corrected with Holm's method for the "
        "rows of this table.",
        table.markdown(rows),
    ]
