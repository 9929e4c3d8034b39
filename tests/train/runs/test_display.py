"""What a run shows: lines, a live terminal, or a summary only. No JAX starts here."""

import contextlib
import io
import re
import sys

import pytest
from rich.console import Console

from tests.train.pseudo_terminal import text_of
from train import notes
from train.runs import display
from train.runs.display import Display, as_clock, as_rate

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
    """What is shown where stdout is the screen."""
    with contextlib.redirect_stdout(screen), Display(**options) as shown:
        yield shown


def begun(shown, done=0):
    """The same, which follows three epochs of ten steps."""
    shown.begin(3, 10, done, "CPU")
    return shown


def advance(shown, done):
    shown.advanced(done, loss=1.5, rate=4.25)


@pytest.fixture
def now(monkeypatch):
    """A clock that the test sets, in a list."""
    seconds = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: seconds[0])
    return seconds


# --- Lines ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "test"),
    [
        (ROW, "test error 6.11 %"),
        ({name: ROW[name] for name in ROW if name != "test_error"}, "no test"),
    ],
)
def test_epoch_is_a_line(capsys, row, test):
    with Display() as shown:
        begun(shown).epoch(row)
    assert capsys.readouterr().out == (
        f"epoch 2/3: train loss 0.1235, train error 12.30 %, {test}, "
        "54,321 examples/s\n"
    )


def test_long_epoch_has_a_line_every_half_minute_and_none_at_its_end(capsys, now):
    with Display() as shown:
        begun(shown)
        for seconds, done in ((29.9, 11), (30, 12), (59, 13), (60, 14), (99, 20)):
            now[0] = 100 + seconds
            advance(shown, done)
    out = capsys.readouterr().out
    steps = re.findall(r"epoch 2/3: step (\d+) of 10, 4.2 examples/s, loss 1.5", out)
    assert steps == ["2", "4"]


# --- How long it takes ----------------------------------------------------------------


def said(now, calls, *, epochs=3, done=0, device="CPU"):
    """Shows calls, each so many seconds after the one before, and the steps done."""
    with Display() as shown:
        shown.begin(epochs, 10, done, device)
        for seconds, taken in calls:
            now[0] += seconds
            advance(shown, taken)


@pytest.mark.parametrize(
    ("calls", "done", "left"),
    [
        ([(60, 1), (8, 5)], 0, "0:00:50"),  # 25 steps at 2 s; the first call was slow
        ([(60, 1), (40, 5), (200, 9)], 0, "0:10:30"),  # 21 steps at 30 s
        ([(9, 21), (4, 22)], 20, "0:00:32"),  # goes on: one step in 4 s; 8 are left
        ([(60, 1)], 0, None),
        ([(60, 1), (1, 8)], 0, None),  # too soon
    ],
)
def test_time_left_is_that_of_the_steps_after_the_first_call(
    monkeypatch, capsys, now, calls, done, left
):
    monkeypatch.setattr(display, "BETWEEN_LINES", 0)
    said(now, calls, done=done)
    *_, last = capsys.readouterr().out.splitlines()
    assert last.endswith(f", {left} left") == (left is not None)
    assert (" left" in last) == (left is not None)


@pytest.mark.parametrize(
    ("device", "advice"), [("CPU", "network or a GPU take"), ("GPU", "network take")]
)
def test_long_run_is_told_once_with_what_to_do(capsys, now, device, advice):
    # 30 s a step; 150 epochs of 10 steps but 2: 12.48 hours.
    said(now, [(40, 1), (30, 2), (30, 3)], epochs=150, device=device)
    errors = capsys.readouterr().err
    about = f"This run takes about 12 hours on this {device}. Fewer --epochs, a smaller"
    assert errors.count(f"{about} {advice} less.") == 1


def test_run_is_called_long_as_soon_as_it_is_known_or_never(capsys, now):
    # Two minutes; then the computer slept.
    said(now, [(40, 1), (4, 2), (10_000, 3)])
    assert capsys.readouterr().err == ""


def test_times_and_rates_are_written_as_one_reads_them():
    assert [as_clock(s) for s in (0, 59.6, 3661)] == ["0:00:00", "0:01:00", "1:01:01"]
    assert [as_rate(r) for r in (4.26, 12345.6)] == ["4.3", "12,346"]


# --- Quiet ----------------------------------------------------------------------------


def test_quiet_shows_the_summary_and_remarks_only(capsys):
    with Display(quiet=True) as shown:
        shown.line("compiled")
        advance(begun(shown), 3)
        shown.epoch(ROW)
        notes.say("odd data")
        shown.summary(["test error 3 %", "folder: a"])
    assert capsys.readouterr() == ("test error 3 %\nfolder: a\n", "odd data\n")


def test_run_of_many_leaves_nothing(screen, capsys):
    for is_terminal in (False, True):
        stream = screen if is_terminal else sys.stdout
        with showing_on(stream, bar_only=True) as shown:
            shown.line("compiled")
            advance(begun(shown), 3)
            shown._bar.refresh()
            shown.epoch(ROW)
    assert capsys.readouterr() == ("", "")
    text = text_of(screen.getvalue())
    assert "epoch 1/3" in text
    assert "step 3 of 10" in text
    assert "compiled" not in text
    assert "0.1235" not in text
    assert screen.getvalue().endswith("\x1b[2K")  # the last line is cleared


# --- A terminal -----------------------------------------------------------------------


def live(shown):
    """The live lines of the moment."""
    console = Console(file=io.StringIO(), width=80)
    console.print(shown._bar.get_renderable())
    return console.file.getvalue().splitlines()


def test_live_lines_show_what_is_being_done(screen):
    with showing_on(screen) as shown:
        shown.stage("loading digits")
        assert live(shown) == ["loading digits  0 s"]
        advance(begun(shown), 12)
        first, second = live(shown)
        assert first.startswith("epoch 2/3 ━")
        assert first.endswith("step 2 of 10")
        assert len(first) == 80
        assert second == "training  4.2 examples/s  loss 1.5000"
        shown.stage("testing")
        assert live(shown)[1].startswith("testing  ")
        shown.epoch(ROW)
        assert live(shown)[1].startswith("training  ")
        shown.stopping()
        assert live(shown)[1].startswith("stopping and saving; once more to stop at on")


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_table_fits_and_keeps_the_test_error(screen, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    with showing_on(screen) as shown:
        begun(shown).epoch(ROW)
    lines = text_of(screen.getvalue()).split("\n")
    heading, row = (x for x in lines if "test error" in x or "6.11 %" in x)
    assert len(heading) == len(row) <= width
    if width == 80:
        cells = "2 0.1235 12.30 % 6.11 % 75% 1,234 54,321"
        assert " ".join(row.split()) == cells


def test_optimizer_without_phases_has_dashes(screen):
    with showing_on(screen) as shown:
        begun(shown)
        shown.epoch(ROW | {"phase_switches": None, "low_loss_share": None})
    assert re.search(r"6\.11 % +- +- +54,321", text_of(screen.getvalue()))


def test_remark_is_shown_above_the_live_lines_and_where_errors_go(screen, capsys):
    with showing_on(screen):
        notes.say("odd data")
    assert capsys.readouterr().err == "odd data\n"
    with contextlib.redirect_stderr(screen), showing_on(screen) as shown:
        begun(shown)
        notes.say("odd data")
        shown.summary(["test error 3 %"])
    assert {"odd data", "test error 3 %"} <= {*text_of(screen.getvalue()).split("\n")}


def test_cursor_is_there_for_who_is_left_by_a_kill(screen):
    with showing_on(screen):
        assert screen.getvalue().rfind("\x1b[?25h") > screen.getvalue().rfind("[?25l")


def test_terminal_that_can_do_nothing_gets_lines(screen, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with showing_on(screen) as shown:
        begun(shown).epoch(ROW)
    assert screen.getvalue().startswith("epoch 2/3: train loss")
