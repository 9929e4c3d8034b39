"""What the tests of the training program share."""

import signal

import pytest

from train.engine import devices


@pytest.fixture(autouse=True, scope="session")
def _one_device():
    """Runs take all devices unless told otherwise: most tests want one."""
    count = devices.count
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "count", lambda asked: count(asked or 1))
        yield


@pytest.fixture(autouse=True, scope="session")
def _hangs_up():
    """A closed terminal ends a program, even where the suite itself is under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def no_pictures(monkeypatch):
    """Runs draw none, which would take as long as all else that they do here."""
    monkeypatch.setattr("train.runs.drawing.plot_run", lambda folder: folder)


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, kept open."""
    from train.runs.drawing import plt  # takes a second

    figures = []
    monkeypatch.setattr(
        "train.runs.drawing.save", lambda figure, path: figures.append(figure)
    )
    yield figures
    plt.close("all")
