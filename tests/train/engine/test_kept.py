"""Where compiled programs are kept, and what happens where they cannot be."""

import os
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest

from train.engine import kept


class Config:
    """Stands for JAX's own, which the suite needs as it is."""

    def __init__(self, folder=None):
        self.jax_compilation_cache_dir = folder
        self.updates = {}

    def update(self, name, value):
        """Notes what is set."""
        self.updates[name] = value


@pytest.fixture
def config(monkeypatch, tmp_path):
    """JAX's options where the user gave no folder, and a home of the test's own."""
    made = Config()
    monkeypatch.setattr(kept, "jax", types.SimpleNamespace(config=made))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


def test_programs_are_kept_in_the_users_cache_by_machine(config, tmp_path):
    kept.keep_compiled(True)
    [folder] = (tmp_path / "cache" / "lcam_optax" / "jax").iterdir()
    assert config.updates["jax_compilation_cache_dir"] == str(folder)


def test_folder_that_the_user_gave_jax_is_left_to_it(config):
    config.jax_compilation_cache_dir = "mine"
    kept.keep_compiled(True)
    assert config.updates == {}


def test_nothing_is_kept_or_used_if_not_wanted(config, tmp_path):
    kept.keep_compiled(False)
    assert config.updates == {"jax_enable_compilation_cache": False}
    assert not (tmp_path / "cache").exists()


def test_folder_that_cannot_be_made_is_told_in_one_line(config, tmp_path, capsys):
    (tmp_path / "cache").write_text("a file")
    kept.keep_compiled(True)
    assert config.updates == {}
    errors = capsys.readouterr().err
    assert errors.startswith("compiled programs are not kept: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("platform", "custom", "expected"),
    [
        ("linux", "/cache", "/cache/lcam_optax/jax"),
        ("linux", "", "/home/me/.cache/lcam_optax/jax"),
        ("linux", "relative", "/home/me/.cache/lcam_optax/jax"),
        ("darwin", "/cache", "/home/me/Library/Caches/lcam_optax/jax"),
    ],
)
def test_cache_is_where_the_system_has_such(monkeypatch, platform, custom, expected):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("XDG_CACHE_HOME", custom)
    monkeypatch.setenv("HOME", "/home/me")
    assert kept.cache_folder().as_posix() == expected


# As JAX 0.10 words it.
DAMAGED = (
    "Error reading persistent compilation cache entry for 'jit_train': "
    "ZstdError: decompression error"
)


def test_damaged_program_is_dropped_and_told_once(config, tmp_path, capsys):
    kept.keep_compiled(True)
    [folder] = (tmp_path / "cache" / "lcam_optax" / "jax").iterdir()
    for name in ("jit_train-1-cache", "jit_train-2-cache", "jit_test-1-cache"):
        (folder / name).write_bytes(b"")
    with warnings.catch_warnings():  # which keeps `showwarning`
        warnings.simplefilter("always")
        for _ in range(2):
            warnings.showwarning(DAMAGED, UserWarning, "compiler.py", 1)
    assert [path.name for path in folder.iterdir()] == ["jit_test-1-cache"]
    errors = capsys.readouterr().err
    assert "cannot be used" in errors
    assert errors.count("\n") == 1


def test_other_warnings_are_shown_as_ever(config, monkeypatch):
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda *words: shown.append(words[0]))
    kept.keep_compiled(True)
    warnings.showwarning("odd", UserWarning, "a.py", 1)
    assert shown == ["odd"]


SCRIPT = """
import jax
from train.engine import kept
kept.SECONDS = 0
kept.keep_compiled(True)
print(jax.jit(lambda x: 3 * x + 1)(2.0))
"""


def test_jax_uses_what_is_kept_and_heals_what_is_damaged(tmp_path):
    def start():
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            cwd=Path(__file__).parents[3],
        )
        assert done.stdout == "7.0\n"
        return done.stderr

    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    del environment["JAX_COMPILATION_CACHE_DIR"]
    assert start() == ""
    [folder] = (tmp_path / "lcam_optax" / "jax").iterdir()
    programs = list(folder.glob("*-cache"))
    for path in programs:
        path.write_bytes(path.read_bytes()[:40])  # as if a kill had cut the writing
    assert start() == f"compiled programs in {folder} cannot be used; compiling\n"
    assert start() == ""
    assert all(path.stat().st_size > 40 for path in programs)
