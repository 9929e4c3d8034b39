"""The checks of the pages: what breaks a rule is found, what just passes is not."""

from pathlib import Path

import pytest

from docs import prose

ROOT = Path(__file__).parents[2]
PAGES = [page for pattern in prose.PAGES for page in sorted(ROOT.glob(pattern))]
CODE = [path for room in prose.CODE for path in sorted(ROOT.glob(f"{room}/**/*.py"))]


def words(count):
    return "One" + " word" * (count - 1)


THIRTY = words(30)


@pytest.fixture
def checkout(tmp_path):
    """A little checkout with two pages and some code."""
    files = {
        "Makefile": "PYTHON := python3\nbuild-all: other\nother:\n\ttrue\n",
        "README.md": "# Title\n",
        "docs/words.txt": "optax\n",
        "docs/other page.md": "# It's `x_y`, here!\n\n## Again\n\n## Again\n",
        "results/first/report.md": "",
        "results/index.md": "",
        "train/__main__.py": "",
        "train/engine/__init__.py": "",
        "train/engine/step.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path.resolve()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_this_projects_pages(page):
    assert not prose.check_page(ROOT, page)


def test_this_projects_comments():
    found = {path: list(prose.check_code(ROOT, path)) for path in CODE}
    assert not {path: problems for path, problems in found.items() if problems}


def test_own_words_are_sorted_and_in_no_dictionary(checkout):
    own = (ROOT / prose.WORDS).read_text().split()
    assert own == sorted(set(own))
    (checkout / prose.WORDS).write_text("")
    assert len(list(prose.misspelt(checkout, "\n".join(own)))) == len(own)


# --- Sentences ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "markdown",
    [
        f"{THIRTY}. {THIRTY}? {THIRTY}!\n{THIRTY}",
        f'({THIRTY}.) "{THIRTY}." **{THIRTY}.** `code` {words(29)}. 1 {words(29)}.',
        f"- {THIRTY}\n- {THIRTY}\n\n{THIRTY}:\n\n1. {THIRTY}",
        f"{THIRTY} = - · ±",
        f"{words(29)} `a piece of code`",
        f"{words(29)} [link](https://example.com/a/b 'of a title')",
        f"{THIRTY} ![of three words](picture.png)",
        f"{words(29)} wo<sub>r</sub>d",
        f"# {THIRTY} more",
        f"| {THIRTY} more |\n|---|\n| {THIRTY} more |",
        f"```bibtex\n{THIRTY} more\n```\n\n    {THIRTY} more",
        f'<p align="center">\n<img alt="{THIRTY} more">\n</p>',
    ],
)
def test_sentences_that_are_short_enough(markdown):
    assert not list(prose.long_sentences(markdown))


@pytest.mark.parametrize(
    ("markdown", "line"),
    [
        (f"{THIRTY} more", 1),
        (f"{THIRTY} 0.5", 1),
        (f"{THIRTY} `code`", 1),
        (f"Short.\n\nShort.\nAlso\nshort. One\n{THIRTY}", 5),
        (f"{THIRTY}. the next", 1),
        (f"{words(28)} see Fig. 3", 1),
        (f"{words(29)} (e.g. Optax)", 1),
        (f"{words(27)} Zhang et al. 2023", 1),
        (f"- short\n- **long**: {THIRTY}", 2),
        (f"> {THIRTY} more", 1),
        (f"<sub>{THIRTY} more</sub>", 1),
        (f"<details>\n{THIRTY} more\n</details>", 1),
    ],
)
def test_sentences_that_are_too_long(markdown, line):
    [(found, problem)] = prose.long_sentences(markdown)
    assert found == line
    assert "30 are allowed: split it" in problem


# --- README's length ------------------------------------------------------------------


def test_readme_counts_words_in_all_but_blocks_of_code():
    markdown = (
        "# Two words\n\n| one | `a b` |\n|---|---|\n| = | [a link](b.md) |\n\n"
        "- *One*,<br>two\n\n```\nnot counted\n```\n"
    )
    texts = [piece.text for piece in prose.texts(markdown)]
    assert sum(map(prose.count_words, texts)) == 8


@pytest.mark.parametrize(
    ("markdown", "problems"),
    [
        ("word " * 1000 + "\n" * 150, 0),
        ("word " * 1001 + "\n" * 150, 1),
        ("word " * 1000 + "\n" * 151, 1),
        ("word " * 1001 + "\n" * 151, 2),
        ("```\n" + "word " * 1001 + "\n```", 0),
    ],
)
def test_readme_length(markdown, problems):
    assert len(list(prose.long_readme(markdown))) == problems


def test_only_the_first_readme_must_be_short(checkout):
    page = "- word\n" * 151
    for name in ("README.md", "results/README.md"):
        (checkout / name).write_text(page)
    assert len(prose.check_page(checkout, checkout / "README.md")) == 1
    assert not prose.check_page(checkout, checkout / "results/README.md")


# --- Links ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link",
    [
        "README.md",
        "docs/",
        "docs/other%20page.md",
        "<docs/other page.md>",
        "docs/other%20page.md#its-x_y-here",
        "docs/other%20page.md#again-1",
        "train/engine/step.py#L3",
        "#title",
        "#%C3%BCber-alles",
        "https://example.com/nothing.md#nothing",
        "mailto:someone@example.com",
    ],
)
def test_links_that_lead_somewhere(checkout, link):
    page = checkout / "README.md"
    page.write_text(f"# Title\n\n## Über *alles*\n\n`//[code`\n[text]({link})")
    assert not list(prose.dead_links(checkout, page, page.read_text()))


@pytest.mark.parametrize(
    "markdown",
    [
        "[text](nothing.md)",
        "[text][name]\n\n[name]: nothing.md",
        "![text](nothing.png)",
        '<a href="nothing.md">text</a>',
        '<p>\n<img width="9" src="nothing.png">\n</p>',
        "| [text](nothing.md) |\n|---|",
        "[text](#nothing)",
        "[text](docs/other%20page.md#again-2)",
        "[text](../)",
        "[text](/README.md)",
    ],
)
def test_links_that_lead_nowhere(checkout, markdown):
    found = prose.dead_links(checkout, checkout / "README.md", markdown)
    assert len(list(found)) == 1


def test_links_are_relative_to_their_page(checkout):
    page = checkout / "docs" / "page.md"
    markdown = "[there](other%20page.md)\n[not there](docs/other%20page.md)"
    [(line, _)] = prose.dead_links(checkout, page, markdown)
    assert line == 2


# --- Paths and commands ---------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "train/engine/step.py",
        "train/engine/",
        "results/*/report.md",
        "results/NAME/report.md",
        "train/{a,b}.py",
        "runs/nothing/metrics.jsonl",
        "report.md",
        "https://example.com/train/nothing.py",
        "python -m train run",
        "python -m train.engine.step",
        "python -m pip install .",
        "make build-all",
        "make PYTHON=python3.12 other",
    ],
)
def test_code_that_exists(checkout, code):
    markdown = f"`{code}` and nowhere/train/x.py\n\n```console\n$ {code}\n```"
    assert not list(prose.dead_code(checkout, markdown))


@pytest.mark.parametrize(
    "code",
    [
        "train/nothing.py",
        "docs/nothing.md#title",
        "results/*/nothing.md",
        "results/NAME/nothing.md",
        "results/README.md",
        "python train/nothing.py --seed 3",
        "python -m train.nothing",
        "python -m train.engine",
        "python -m benchmarks.nothing --out x",
        "make nothing",
        "true && make nothing",
    ],
)
def test_code_that_does_not_exist(checkout, code):
    markdown = f"text\n`{code}`\n\n```console\n$ true\n$ {code}\n```\n\n    {code}"
    assert [line for line, _ in prose.dead_code(checkout, markdown)] == [2, 6, 9]


def test_make_is_also_a_verb(checkout):
    markdown = "train/nothing.py\n\n```python\nx = 1  # make sure of train.nothing\n```"
    assert not list(prose.dead_code(checkout, markdown))


# --- Spelling -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "A normalised colour, a normalized color: 'behaviour' (isn't it?), **bold**.",
        "Optax's low-loss/high-loss phases\u2014and the author\u2019s.",
        "`recieve` recieve.py recieve_it GPUs WRN-28-10 CamelCase b4f32 \u03bc et al.",
        "<https://example.com/recieve> [text](recieve.md) <sub>text</sub>",
        "```\nrecieve\n```",
    ],
)
def test_words_that_are_right(checkout, text):
    assert not list(prose.misspelt(checkout, text))


@pytest.mark.parametrize(
    "text",
    [
        "Recieve",
        "(recieve).",
        "to re-send/recieve",
        "[recieve](https://example.com)",
        "# To recieve",
        "| recieve |\n|---|",
        "**recieve**'s",
        "recieve\u2019s",
        "<sub>recieve</sub>",
    ],
)
def test_words_that_are_misspelt(checkout, text):
    [(line, problem)] = prose.misspelt(checkout, f"text\n\n`code`\n\n{text}")
    assert line == 5
    assert problem.startswith('unknown word "recieve"')


def test_comments_and_docstrings_are_spelt(checkout):
    path = checkout / "train" / "engine" / "step.py"
    path.write_text(
        '"""Recieve.\n\n    recieve = code\n\nReturns:\n  A seperate one.\n"""\n\n'
        'recieve = "recieve"  # definately `recieve`\n'
    )
    assert [line for line, _ in prose.check_code(checkout, path)] == [1, 6, 9]


# --- The command ----------------------------------------------------------------------


def test_command_names_file_and_line(checkout, capsys):
    (checkout / "README.md").write_text("# Title\n\n[text](nothing.md) recieve\n")
    (checkout / "train" / "engine" / "step.py").write_text("# seperate\n")
    assert prose.main(checkout) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "README.md:3",
        "README.md:3",
        "train/engine/step.py:1",
    ]


def test_command_is_quiet_if_all_is_well(checkout, capsys):
    assert prose.main(checkout) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
