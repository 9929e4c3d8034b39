"""What a run shows: lines, a live terminal, or a summary only. No JAX starts here."""

import contextlib
import io
import os
import re

import pytest
from rich.console import Console

from tests.train.pseudo_terminal import on_terminal, text_of
from train import notes
from train.runs import display
from train.runs.display import Lines, Patient, Summary
from train.runs.progress import Progress
from train.runs.showing import showing

ROW = {
    "epoch": 2,
    "train_loss": 0.12345,
    "train_error": 12.3,
    "test_error": 6.111,
    "low_loss_share": 0.75,
    "phase_switches": 1234,
    "images_per_second": 54321.0,
    "seconds": 1.5,
}


class Screen(io.StringIO):
    """Stands for a terminal."""

    def isatty(self):
        """It is one."""
        return True


@pytest.fixture
def screen(monkeypatch):
    """A terminal of 80 columns."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return Screen()


@contextlib.contextmanager
def showing_on(screen, **options):
    """What `showing` gives where stdout is the screen."""
    with contextlib.redirect_stdout(screen), showing(**options) as shown:
        yield shown


def begun(shown, done=0):
    """Progress that `shown` follows: three epochs of ten steps."""
    progress = Progress(3, 10, done)
    shown.begin(progress, "CPU")
    return progress


def advance(shown, progress, done):
    progress.advance(done, loss=1.5, rate=4.25)
    shown.advanced()


# --- Lines ----------------------------------------------------------------------------


def test_epoch_is_a_line(capsys):
    lines = Lines()
    begun(lines)
    lines.epoch(ROW)
    assert capsys.readouterr().out == (
        "epoch 2/3: train loss 0.1235, train error 12.30 %, test error 6.11 %, "
        "54,321 images/s\n"
    )


def test_epoch_without_a_test_says_so(capsys):
    lines = Lines()
    begun(lines)
    lines.epoch({name: cell for name, cell in ROW.items() if name != "test_error"})
    assert ", no test, " in capsys.readouterr().out


def test_long_epoch_has_a_line_every_half_minute(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    lines = Lines()
    progress = begun(lines)
    for seconds, done in ((29.9, 11), (30, 12), (59, 13), (60, 14)):
        now[0] = seconds
        advance(lines, progress, done)
    out = capsys.readouterr().out
    assert re.findall(r"epoch 2/3: step (\d) of 10, loss 1.5000, 4.2 im", out) == [
        "2",
        "4",
    ]


def test_end_of_an_epoch_has_its_own_line_only(capsys, monkeypatch):
    monkeypatch.setattr(display, "BETWEEN_LINES", 0)
    lines = Lines()
    advance(lines, begun(lines), 10)
    assert capsys.readouterr().out == ""


def test_remark_goes_to_stderr_where_lines_go_to_stdout(capsys):
    with showing():
        notes.say("odd data")
    assert capsys.readouterr() == ("", "odd data\n")


# --- Quiet ----------------------------------------------------------------------------


def test_quiet_shows_the_summary_only(capsys):
    with showing(quiet=True) as shown:
        assert isinstance(shown, Summary)
        shown.line("compiled")
        advance(shown, begun(shown), 3)
        shown.epoch(ROW)
        notes.say("odd data")
        shown.summary(["test error 3 %", "folder: a"])
    assert capsys.readouterr() == ("test error 3 %\nfolder: a\n", "")


def test_run_of_many_prints_nothing_where_no_terminal_is(capsys):
    with showing(bar_only=True) as shown:
        shown.line("compiled")
        advance(shown, begun(shown), 3)
        shown.epoch(ROW)
        shown.summary(["test error 3 %"])
    assert capsys.readouterr() == ("", "")


def test_run_of_many_leaves_nothing_on_a_terminal(screen):
    with showing_on(screen, bar_only=True) as shown:
        shown.line("compiled")
        advance(shown, begun(shown), 3)
        shown._live.refresh()
        during = text_of(screen.getvalue())
        shown.epoch(ROW)
    assert "epoch 1/3" in during
    assert "step 3 of 10" in during
    assert "compiled" not in text_of(screen.getvalue())
    assert "0.1235" not in text_of(screen.getvalue())
    assert screen.getvalue().endswith("\x1b[2K")  # the last line is cleared


# --- A terminal -----------------------------------------------------------------------


def live(shown):
    """The live lines of the moment."""
    console = Console(file=io.StringIO(), width=80)
    console.print(shown._render())
    return console.file.getvalue().splitlines()


def test_terminal_shows_what_is_being_done(screen):
    with showing_on(screen) as shown:
        shown.stage("loading digits")
        assert live(shown) == ["loading digits  0 s"]


def test_bar_shows_what_is_done(screen):
    with showing_on(screen) as shown:
        advance(shown, begun(shown), 12)
        first, second = live(shown)
    assert first.startswith("epoch 2/3  ━")
    assert first.endswith("step 2 of 10")
    assert len(first) == 80
    assert second == "training  4.2 images/s  loss 1.5000"


def test_training_goes_on_after_a_test(screen):
    with showing_on(screen) as shown:
        advance(shown, begun(shown), 10)
        shown.stage("testing")
        assert live(shown)[1].startswith("testing  ")
        shown.epoch(ROW)
        assert live(shown)[1].startswith("training  ")


def test_signal_is_shown_by_the_next_refresh(screen):
    with showing_on(screen) as shown:
        advance(shown, begun(shown), 12)
        shown.stopping()
        assert live(shown)[1].startswith("stopping and saving; once more to stop at on")


def test_table_fits_80_columns(screen):
    with showing_on(screen) as shown:
        begun(shown)
        shown.epoch(ROW)
    table = [line for line in text_of(screen.getvalue()).split("\n") if "  " in line]
    heading, row = (line for line in table if "0.1235" in line or "low-loss" in line)
    assert len(heading) == len(row) <= 80
    assert row.split() == [
        *("2", "0.1235", "12.30", "%", "6.11", "%", "75%", "1,234", "54,321")
    ]


@pytest.mark.parametrize("width", [20, 40, 60])
def test_narrow_terminal_leaves_out_columns_but_not_the_test_error(
    screen, monkeypatch, width
):
    monkeypatch.setenv("COLUMNS", str(width))
    with showing_on(screen) as shown:
        begun(shown)
        shown.epoch(ROW)
    [row] = [x for x in text_of(screen.getvalue()).split("\n") if "6.11 %" in x]
    assert len(row) <= width


def test_optimizer_without_phases_has_dashes(screen):
    with showing_on(screen) as shown:
        begun(shown)
        shown.epoch(ROW | {"phase_switches": None, "low_loss_share": None})
    assert re.search(r"6\.11 % +- +- +54,321", text_of(screen.getvalue()))


def test_remark_and_summary_stay_on_the_terminal(screen):
    with showing_on(screen) as shown:
        begun(shown)
        notes.say("odd data")
        shown.summary(["test error 3 %"])
    lines = text_of(screen.getvalue()).split("\n")
    assert "odd data" in lines
    assert "test error 3 %" in lines


def test_cursor_is_there_for_who_is_left_by_a_kill(screen):
    with showing_on(screen):
        assert screen.getvalue().rfind("\x1b[?25h") > screen.getvalue().rfind("[?25l")


def test_terminal_that_can_do_nothing_gets_lines(screen, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with showing_on(screen) as shown:
        assert isinstance(shown, Lines)


SCRIPT = """
from train.runs.showing import showing
from train.runs.progress import Progress
from tests.train.runs.test_display import ROW
with showing() as shown:
    shown.stage("loading")
    progress = Progress(3, 10, 0)
    shown.begin(progress, "CPU")
    progress.advance(12, 1.5, 4.25)
    shown.advanced()
    shown._live.refresh()
    shown.epoch(ROW)
    shown.summary(["test error 3 %"])
"""


@pytest.mark.parametrize("size", [(24, 80), (0, 0)], ids=str)
def test_pseudo_terminal_shows_all(size, tmp_path):
    code, text = on_terminal("-c", SCRIPT, size=size, folder=tmp_path)
    assert code == 0
    for shown in ("loading  0 s", "step 2 of 10", "6.11 %", "test error 3 %"):
        assert shown in text
    assert max(map(len, text.split("\n"))) <= 80


# --- Nobody reads ---------------------------------------------------------------------


def test_stream_that_nobody_reads_does_no_harm():
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "w") as stream:
        patient = Patient(stream)
        patient.print("a line")
        patient.print("another")
    assert patient.lost is None
