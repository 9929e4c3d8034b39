"""Checks the pages, and the spelling in the code's comments: `python -m docs.prose`.

Finds long sentences, a long README, links, paths and commands that lead nowhere, and
words that no dictionary has. British and American spellings are both right.
"""

import functools
import inspect
import itertools
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from spellchecker import SpellChecker

PAGES = ("*.md", "docs/*.md", "examples/*.md", "results/*.md")
CODE = ("lcam_optax", "models", "train", "examples", "benchmarks", "docs")
ROOMS = "|".join((*CODE, "tests", "results"))
WORDS = "docs/words.txt"  # names and terms that no dictionary has

MOST_WORDS = 30  # of a sentence
MOST_OF_README = {"lines": 150, "words": 1000}
# Their full stop ends no sentence.
ABBREVIATION = re.compile(r"\b(al|cf|e\.g|Eq|Fig|i\.e|Sec|vs)\.")
SENTENCE_END = re.compile(r"[.?!][^\w\s`]*\s+(?=[^\sa-z])")
# Between spaces or dashes. What has dots, digits or capitals in it is a name or code.
WORD = re.compile(
    r"(?:^|(?<=[\s/\u2013\u2014-]))[^\w\s.]*"
    r"([^\W\d_][^\W\d_A-Z]{2,}(?:'[a-z]+)?)"
    r"(?=[^\w\s]*(?:[\s/\u2013\u2014-]|$))"
)

Problem = tuple[int, str]  # the line, and what is wrong there


class Piece(NamedTuple):
    """A piece of a page.

    Attributes:
      kind: "code", "link" (where it leads), "anchor" (what the heading is called in
        links), or for a text its HTML tag: "p", "h1", "td".
      line: where it begins.
      text: as a reader sees it; a backtick stands for code in it.
    """

    kind: str
    line: int
    text: str


@functools.cache
def take_apart(markdown: str) -> list[Piece]:
    """Returns the pieces of a page."""
    pieces, tag = [], ""
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        line = token.map[0] + 1 if token.map else 0
        if token.type in ("fence", "code_block"):
            pieces.append(Piece("code", line + (token.type == "fence"), token.content))
        elif token.type == "html_block":
            pieces += _take_text_apart("p", line, [token])
        elif token.type == "inline":
            pieces += _take_text_apart(tag, line, token.children or [])
        elif token.nesting == 1:
            tag = token.tag
    return pieces


def _take_text_apart(tag: str, line: int, tokens: list[Token]) -> Iterator[Piece]:
    text = heading = ""
    for token in tokens:
        here = line + text.count("\n")
        if token.type == "code_inline":
            yield Piece("code", here, token.content)
            text += "`"
            heading += token.content
        elif token.type in ("link_open", "image"):
            target = token.attrs.get("href") or token.attrs.get("src")
            yield Piece("link", here, str(target))
        elif token.type.startswith("html"):
            for target in re.findall(r'(?:href|src)="(.*?)"', token.content):
                yield Piece("link", here, target)
            text += re.sub(r"(?s)<.*?>", "", token.content.replace("<br>", " "))
        else:
            text += "\n" if token.type.endswith("break") else token.content
            heading += token.content
    yield Piece(tag, line, text)
    if re.fullmatch("h[1-6]", tag):
        name = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        yield Piece("anchor", line, name)


def anchors(markdown: str) -> set[str]:
    """Returns what may follow the "#" of a link. GitHub numbers repetitions."""
    names = [piece.text for piece in take_apart(markdown) if piece.kind == "anchor"]
    counts = [names[:place].count(name) for place, name in enumerate(names)]
    return {f"{name}-{n}" if n else name for name, n in zip(names, counts, strict=True)}


def texts(markdown: str) -> list[Piece]:
    """Returns what is neither a block of code, nor a link's target, nor an anchor."""
    pieces = take_apart(markdown)
    return [piece for piece in pieces if piece.kind not in ("code", "link", "anchor")]


def count_words(text: str) -> int:
    """Counts what stands between spaces and has a letter, a digit or code in it."""
    return sum(bool(re.search(r"[^\W_]|`", word)) for word in text.split())


def long_sentences(markdown: str) -> Iterator[Problem]:
    """Finds sentences of too many words. Headings and tables have no sentences."""
    for kind, line, text in take_apart(markdown):
        text = ABBREVIATION.sub(r"\1", text) if kind == "p" else ""
        ends = [match.end() for match in SENTENCE_END.finditer(text)]
        for start, end in itertools.pairwise([0, *ends, len(text)]):
            if (words := count_words(text[start:end])) > MOST_WORDS:
                here = line + text.count("\n", 0, start)
                yield (
                    here,
                    f"a sentence of {words} words, {MOST_WORDS} are allowed: split it",
                )


def long_readme(markdown: str) -> Iterator[Problem]:
    """Compares the length with its limits; words in blocks of code are not counted."""
    words = sum(count_words(piece.text) for piece in texts(markdown))
    length = {"lines": len(markdown.splitlines()), "words": words}
    for what, most in MOST_OF_README.items():
        if length[what] > most:
            yield 1, f"{length[what]} {what}, {most} are allowed: move some to docs/"


def dead_links(root: Path, page: Path, markdown: str) -> Iterator[Problem]:
    """Finds links to files and headings that are not in the checkout."""
    links = [piece for piece in take_apart(markdown) if piece.kind == "link"]
    for _, line, link in links:
        address = urlsplit(link)
        if address.scheme:
            continue
        target = (page.parent / (unquote(address.path) or page.name)).resolve()
        name = unquote(address.fragment)
        if not (target.exists() and target.is_relative_to(root)):
            yield line, f"no file for the link {link}: correct it"
        elif target.suffix == ".md" and name not in ("", *anchors(target.read_text())):
            yield line, f"no heading for the link {link}: correct it"


def dead_code(root: Path, markdown: str) -> Iterator[Problem]:
    """Finds paths, modules and targets of `make` in code that are not there.

    Capitals in a path stand for any name, as `*` does: `results/NAME/report.md`.
    """

    def is_path(path: str) -> bool:
        return any(root.glob(re.sub(r"\b(?!README\b)[A-Z]+\b", "*", path)))

    def is_module(module: str) -> bool:
        path = module.replace(".", "/")
        return any(map(is_path, (f"{path}.py", f"{path}/__main__.py")))

    targets = re.findall(r"^([\w-]+):", (root / "Makefile").read_text(), re.M)
    checks = {
        rf"(?<![\w./-])(?!examples/s\b)((?:{ROOMS})/[\w*./-]*)\b": is_path,
        rf"\bpython -m ((?:{ROOMS})\b[\w.]*)\b": is_module,
        r"(?:^|[$&;]) *make ([a-z][\w-]*)": targets.__contains__,
    }
    for kind, line, text in take_apart(markdown):
        for pattern, exists in checks.items() if kind == "code" else ():
            for match in re.finditer(pattern, text, re.M):
                if not exists(match[1]):
                    here = line + text.count("\n", 0, match.start(1))
                    yield here, f"{match[0].strip('$&; ')} does not exist: correct it"


@functools.cache
def dictionary() -> SpellChecker:
    """Returns the American one."""
    return SpellChecker()


def misspelt(root: Path, markdown: str) -> Iterator[Problem]:
    """Finds words that are neither American, nor British, nor our own."""
    own = (root / WORDS).read_text().split()
    for _, line, text in texts(markdown):
        text = re.sub(r"\w+://\S+", "", text.replace("\u2019", "'"))
        for match in WORD.finditer(text):
            word = match[1].lower().removesuffix("'s")
            american = re.sub(r"is(?=(e[drs]?|ers|ing|ations?)$)", "iz", word)
            american = american.replace("our", "or")
            if word not in own and not dictionary().known([word, american]):
                here = line + text.count("\n", 0, match.start(1))
                yield here, f'unknown word "{word}": correct it or add it to {WORDS}'


def check_page(root: Path, page: Path) -> list[Problem]:
    """Returns what is wrong with a page."""
    markdown = page.read_text()
    problems = [
        *long_sentences(markdown),
        *dead_links(root, page, markdown),
        *dead_code(root, markdown),
        *misspelt(root, markdown),
    ]
    if page == root / "README.md":
        problems += long_readme(markdown)
    return sorted(problems)


def check_code(root: Path, path: Path) -> Iterator[Problem]:
    """Finds what is misspelt in the comments and docstrings of Python code."""
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.string.startswith(("#", '"""')):
                text = inspect.cleandoc(token.string.strip('#": '))
                for line, problem in misspelt(root, text):
                    yield token.start[0] + line - 1, problem


def main(root: Path) -> int:
    """Prints what is wrong in a checkout; returns the exit status."""
    pages = [page for pattern in PAGES for page in sorted(root.glob(pattern))]
    code = [path for room in CODE for path in sorted(root.glob(f"{room}/**/*.py"))]
    found = [(page, *problem) for page in pages for problem in check_page(root, page)]
    found += [(path, *problem) for path in code for problem in check_code(root, path)]
    for path, line, problem in found:
        print(f"{path.relative_to(root)}:{line}: {problem}")
    if not found:
        print(f"prose: {len(pages)} pages and {len(code)} files of code, all is well")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parents[1]))
