"""What the site has besides the Markdown files: pages of the program and of scripts."""

import enum
import inspect
import re
import shutil
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

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
    "results/README": BELOW.format("*/report\n*/details"),
}


def setup(app) -> None:
    """Makes Sphinx call the functions below."""
    app.add_config_value("files_address", "", "env")
    app.connect("builder-inited", write_pages)
    app.connect("source-read", add_ending)
    app.connect("doctree-read", lead_links)
    app.connect("autodoc-process-signature", sign)
    app.connect("build-finished", add_index)


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
            about = re.sub(r"(?<![\w`])--\w[\w-]*", r"`\g<0>`", action.help)
            about = re.sub(r"\s\(default", "\n\n(default", about.replace("%%", "%"))
            shown = " ".join(filter(None, shown))
            parts.append(f"````{{option}} {shown}\n{about}\n````")
    if parser.epilog:
        examples = re.sub("(?m)^ +", "$ ", parser.epilog.partition("\n")[2])
        parts.append(f"## Examples\n\n```console\n{examples}```")
    return "\n\n".join(parts)


def add_ending(app, name: str, source: list[str]) -> None:
    """Adds what a page has in the site only."""
    source[0] += ENDINGS.get(name, "")


def sign(app, what, name, thing, options, signature, returned) -> tuple | None:
    """A signature as `help` shows it, where Sphinx would write out each alias."""
    if what == "class" and issubclass(thing, (tuple, enum.Enum)):
        return "", None  # the fields stand below
    return signature and (str(inspect.signature(thing)).replace("'", ""), None)


def lead_links(app, tree) -> None:
    """Leads links to files that are no pages to where they can be seen."""
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


def add_index(app, exception) -> None:
    """The first page is what a web server shows for the folder."""
    if exception is None:
        shutil.copy(app.outdir / "README.html", app.outdir / "index.html")
