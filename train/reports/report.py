"""Writes what a study found, from its rows: a page, its details, pictures and CSV."""

import base64
import re
import tempfile
from pathlib import Path

from train.errors import InputError
from train.paths import expand
from train.reports import planned
from train.reports.joining import join
from train.reports.outcomes import write_tables
from train.reports.rows import Rows, is_study, read_study, reading
from train.runs.writing import no_link, replace, writing
from train.settings.commands import Report

PAGE, DETAILS = "report.md", "details.md"
_HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; }}
p:has(img) {{ overflow-x: auto; }}
img {{ background: white; max-width: 100%; min-width: 40em; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
td, th {{ border-bottom: 1px solid #8884; padding: 0.2em 0.6em; text-align: left; }}
code {{ font-size: 0.9em; overflow-wrap: anywhere; }}
:root {{ color-scheme: light dark; }}
</style>
{body}
"""


def report(config: Report) -> Path:
    """Makes the report of a study from its rows, and returns its path."""
    folders = [expand(folder) for folder in config.folders]
    found = join([(folder, read_study(folder)) for folder in folders])
    if config.out is not None:
        out = expand(config.out)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(
                f"--out {out} exists and is not an empty folder: name a new one."
            )
    else:
        [folder] = folders
        out = no_link(folder / "report") if is_study(folder) else folder
    names = " ".join(map(str, folders))
    with tempfile.TemporaryDirectory() as scratch:
        with reading(names):
            path = write_report(Path(scratch), found, config.margin)
        if path is None:
            raise InputError(
                f"{names}: no run has finished yet. Repeat the command of the study "
                "to continue it."
            )
        if config.html:
            path = write_html(Path(scratch))
        with writing(out):  # only what is whole takes the place of what was there
            out.mkdir(parents=True, exist_ok=True)
        for made in Path(scratch).iterdir():
            replace(out / made.name, made.read_bytes())
    return out / path.name


def write_report(out: Path, rows: Rows, margin: float | None = None) -> Path | None:
    """Writes a report into a folder; None if no run has ended yet."""
    if not len(rows.runs):
        return None
    from train.reports import details, page, planned_page  # matplotlib takes a second

    if plan := planned.plan_of(rows):
        [result], _ = write_tables(out, rows, compare=False)
        parts, others = planned_page.parts(out, plan, result, rows)
    else:
        results, comparisons = write_tables(out, rows, margin=margin)
        parts = page.parts(out, rows, results, comparisons)
        others = details.parts(out, rows, results, comparisons)
    about = rows.about
    title = f"# {about['study']}: {about['question']}"
    parts += [
        page.source(rows),
        f"**More.** [Details]({DETAILS}): what each arm is, "
        "all errors and curves, and how to read them.",
    ]
    replace(out / PAGE, "\n\n".join([title, *parts]) + "\n")
    others = [f"# {about['study']}: details", f"[The report]({PAGE})", *others]
    replace(out / DETAILS, "\n\n".join(others) + "\n")
    return out / PAGE


def write_html(folder: Path) -> Path:
    """Writes both pages of a report into one file, with the pictures in it."""
    from markdown_it import MarkdownIt

    make = MarkdownIt("commonmark").enable("table")
    text = "\n\n---\n\n".join((folder / name).read_text() for name in (PAGE, DETAILS))
    title = text.partition("\n")[0].lstrip("# ")

    def inline(found: re.Match[str]) -> str:
        picture = base64.b64encode((folder / found[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{picture}"'

    body = re.sub(r'src="([^"]+\.png)"', inline, make.render(text))
    body = body.replace(f'href="{DETAILS}"', 'href="#details"')
    body = body.replace(f'href="{PAGE}"', 'href="#"')
    body = body.replace("<hr />", '<hr id="details" />')
    path = folder / "report.html"
    replace(path, _HTML.format(title=make.renderInline(title), body=body))
    return path
