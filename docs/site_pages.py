"""What the site has besides the Markdown files: pages of the program and of scripts."""

import ast
import enum
import inspect
import json
import re
import shutil
import textwrap
from pathlib import Path

from train.settings import cli
from train.settings.commands import COMMANDS

ROOT = Path(__file__).parents[1]
PROGRAM, SCRIPTS = "docs/program", "docs/scripts"
# What only Sphinx understands stands at the end of its copy of a page.
BELOW = "\n```{{toctree}}\n:hidden:\n:glob:\n\n{}\n```\n"
ENDINGS = {
    "README": (ROOT / "docs" / "contents.txt").read_text(),
    "docs/tutorial": "\n{nb-download}`Download the notebook <tutorial.ipynb>`\n",
    "examples/README": BELOW.format(f"/{SCRIPTS}/*"),
}
# A report is called by its folder, as a study has several, and its details are below.
REPORTS = sorted(path.parent.name for path in ROOT.glob("results/*/report.md"))
LINES = "\n".join(f"{name} <{name}/report>" for name in REPORTS)
ENDINGS["results/README"] = BELOW.format(LINES)
ENDINGS |= {f"results/{r}/report": BELOW.format("Details <details>") for r in REPORTS}


def setup(app) -> None:
    """Makes Sphinx call the functions below."""
    app.add_config_value("files_address", "", "env")
    app.connect("builder-inited", write_pages)
    app.connect("source-read", fit_source)
    app.connect("doctree-read", lead_links)
    app.connect("doctree-read", link_pictures)
    app.connect("autodoc-process-signature", sign)
    app.connect("autodoc-process-docstring", link_pages)
    app.connect("build-finished", add_index)
    app.connect("build-finished", free_notebook)


def write_pages(app) -> None:
    """Writes the pages of commands and scripts."""
    row = "| [`{0}`]({0}.md) | {1} |".format
    rows = [row(k, COMMANDS[k].__doc__.splitlines()[0]) for k in COMMANDS]
    head = "# The program\n\n| `python -m train` | what it does |\n| --- | --- |"
    below = BELOW.format("\n".join(COMMANDS))
    pages = {f"{PROGRAM}/index": "\n".join([head, *rows, below])}
    pages |= {f"{PROGRAM}/{k}": command_page(k, COMMANDS[k]) for k in COMMANDS}
    for path in sorted((ROOT / "examples").glob("[!_]*.py")):
        code = f"```{{literalinclude}} ../../examples/{path.name}\n```\n"
        pages[f"{SCRIPTS}/{path.stem}"] = f"# {path.name}\n\n{code}"
    for folder in (PROGRAM, SCRIPTS):
        shutil.rmtree(ROOT / folder, ignore_errors=True)
        (ROOT / folder).mkdir()
    for name, text in pages.items():
        (ROOT / f"{name}.md").write_text(text)


def command_page(name: str, kind: type) -> str:
    """The page of a command; search and links find its options, as directives."""
    parser = cli.parser_of(name, kind)
    parts = [f"# {name}", parser.description, f"```text\n{parser.usage}\n```"]
    for group in parser._action_groups:
        parts += [f"## {group.title.capitalize()}"] * bool(group._group_actions)
        for action in group._group_actions:
            shown = [" / ".join(action.option_strings), action.metavar]
            option = r"(`[^`]+`)|(?<!\w)(--\w[\w-]*)"  # in a command, or alone
            about = re.sub(option, lambda m: m[1] or f"`{m[2]}`", action.help)
            about = re.sub(r"\s\(default", "\n\n(default", about.replace("%%", "%"))
            shown = " ".join(filter(None, shown))
            parts.append(f"````{{option}} {shown}\n{about}\n````")
    if parser.epilog:
        examples = re.sub("(?m)^ +", "$ ", parser.epilog.partition("\n")[2])
        parts.append(f"## Examples\n\n```console\n{examples.rstrip()}\n```")
    return "\n\n".join(parts)


def fit_source(app, name: str, source: list[str]) -> None:
    """Changes and adds what a page has in the site only."""
    text = source[0]
    if name == "docs/tutorial" and (address := app.config.files_address):
        repository = address.replace("/blob/", "@")
        text = text.replace('SOURCE = ""', f'SOURCE = "git+{repository}"')
    if name.startswith("results/"):  # files are pages here, with titles for their names
        file = r"\[?(?<![\w./(])((?:docs|results)/\w+\.md)(?:\]\([^)]*\))?"
        text = re.sub(file, rf"[]({'../' * name.count('/')}\1)", text)
        text = re.sub(r"\A# [\w-]+(?=:)", f"# {Path(name).parent.name}", text)
    source[0] = text + ENDINGS.get(name, "")


def sign(app, what, name, thing, options, signature, returned) -> tuple | None:
    """A signature as it is written, where Sphinx would write out each alias."""
    if what == "class" and issubclass(thing, (tuple, enum.Enum)):
        return "", None  # the fields stand below
    if signature is None:
        return None
    function = thing.__init__ if what == "class" else thing
    written = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    notes = {a.arg: a.annotation for a in ast.walk(written) if isinstance(a, ast.arg)}
    arguments = [
        one.replace(annotation=ast.unparse(notes[one.name]))
        for one in inspect.signature(function).parameters.values()
        if one.name != "self"
    ]
    text = str(inspect.Signature(arguments)).replace("'", "")
    return text, written.returns and ast.unparse(written.returns)


def link_pages(app, what, name, thing, options, lines: list[str]) -> None:
    """Leads the pages that a docstring names to where they can be read."""
    lines[:] = [re.sub(r"docs/(\w+)\.md", r":doc:`\1`", line) for line in lines]


def lead_links(app, tree) -> None:
    """Leads links to files that are no pages to where they can be seen."""
    from docutils import nodes  # only here: the tests of this module have no Sphinx
    from sphinx import addnodes

    found = [n for n in tree.findall(nodes.Element) if n.get("reftype") == "myst"]
    for node in found:
        path = Path(app.env.doc2path(app.env.docname)).parent / node["reftarget"]
        file = path.resolve().relative_to(ROOT)
        pages = (f"{SCRIPTS}/{file.stem}", f"{file}/README")
        if page := next((name for name in pages if name in app.env.found_docs), None):
            at = {"refdoc": app.env.docname, "reftarget": f"/{page}"}
            link = addnodes.pending_xref(refdomain="std", reftype="doc", **at)
            link["refexplicit"] = True
        elif app.config.files_address and path.exists():
            link = nodes.reference(refuri=f"{app.config.files_address}/{file}")
        elif path.is_dir():
            link = nodes.inline()
        else:
            continue  # a page, or a file that Sphinx copies
        link += node.children
        node.replace_self(link)


def link_pictures(app, tree) -> None:
    """A picture leads to itself in full size, as Sphinx does it for scaled ones."""
    for node in tree.findall(lambda node: node.tagname == "image"):
        node["scale"] = 100


def add_index(app, exception) -> None:
    """What a web server shows for the folder leads to the first page."""
    lead = '<meta http-equiv="refresh" content="0; url=README.html">'
    (app.outdir / "index.html").write_text(f"<!doctype html>\n{lead}\n")


def free_notebook(app, exception) -> None:
    """A downloaded notebook has no pages beside it that its links could lead to."""
    address = app.config.files_address
    link = rf"[\1]({address}/docs/\2)" if address else r"*\1*"
    for path in app.outdir.glob("_downloads/*/tutorial.ipynb"):
        notebook = json.loads(path.read_text())
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                text = "".join(cell["source"]).partition("{nb-download}")[0].rstrip()
                cell["source"] = re.sub(r"\[([^\]]+)\]\((?!\w+:)([^)]+)\)", link, text)
        path.write_text(json.dumps(notebook))
