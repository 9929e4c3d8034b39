"""Whatever comes in at the edges: files, command lines, settings.

Each test says what may come of it, and nothing else may. A few inputs each; with
`--torture` thousands.
"""

import contextlib
import dataclasses
import io
import json
import pickle
import struct
import typing
import warnings
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib import pyplot as plt

import lcam_optax
from tests.train.runs.test_plot import write_run
from train.__main__ import main
from train.data import sources
from train.data.dataset import Dataset
from train.errors import InputError
from train.reports import plot_folders
from train.runs import curves, ending, loop, plot, processes, records
from train.runs.folder import (
    FREE_OPTIONS,
    _flat,
    add_provenance,
    check_claim,
    config_as_json,
)
from train.settings.arms import parse_arms
from train.settings.commands import Compare, Plot, Study
from train.settings.experiment import Run
from train.settings.optimizer import Optimizer
from train.settings.options import Data
from train.studies import compare, study
from train.studies.catalogue import STUDIES, make_blocks

ORDINARY = settings.default.max_examples

# What NumPy says of old headers and dtypes, to those who look at deprecations.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Reading `.npy`"),
    pytest.mark.filterwarnings("ignore:Data type alias 'a'"),
]


def tried(function, *arguments, refusals=InputError, **keywords):
    """What a function returns, and the error it refuses its arguments with."""
    try:
        return function(*arguments, **keywords), None
    except refusals as error:
        return None, str(error)


def some(part):
    """Settings of a test whose inputs take long: a part of the usual number."""
    return settings(max_examples=max(2, round(part * ORDINARY)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


# --- npz files ------------------------------------------------------------------------

GOOD = {
    "x_train": np.arange(4 * 2 * 3 * 1, dtype=np.uint8).reshape(4, 2, 3, 1),
    "y_train": np.array([0, 1, 2, 1]),
    "x_test": np.ones((2, 2, 3, 1), np.uint8),
    "y_test": np.array([[2], [0]], np.uint8),
}


def member(header, content):
    """An array's file, whatever its header says."""
    header = repr(header).encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + content


def as_member(array):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of dtypes that few programs can read
        np.lib.format.write_array(file, array)
    return file.getvalue()


def archive(compression=zipfile.ZIP_STORED, **members):
    """An .npz file of the good arrays, with members as given; None leaves one out."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as zipped:
        for name, content in ({**GOOD, **members}).items():
            if content is not None:
                is_array = isinstance(content, np.ndarray)
                content = as_member(content) if is_array else content
                zipped.writestr(f"{name}.npy", content)
    return file.getvalue()


def assert_loads_or_is_refused(folder, content):
    """Returns the data set, whose layout is as `load_npz` documents it, or None."""
    path = folder / "images.npz"
    path.write_bytes(content)
    dataset, error = tried(sources.load_npz, path)
    if error:
        assert str(path) in error
        assert len(error.splitlines()) == 1
        assert len(error) < 1000
        assert ": ." not in error  # no reason
        return None
    assert isinstance(dataset, Dataset)
    for split in ("train", "test"):
        inputs = getattr(dataset, f"{split}_inputs")
        targets = getattr(dataset, f"{split}_targets")
        assert inputs.dtype == np.uint8
        assert inputs.ndim == 4
        assert inputs.size > 0
        assert inputs.shape[1:] == dataset.train_inputs.shape[1:]
        assert targets.dtype == np.int32
        assert targets.shape == inputs.shape[:1]
        assert 0 <= targets.min() <= targets.max() < dataset.num_classes
    assert dataset.num_classes == dataset.train_targets.max() + 1 >= 2
    return dataset


names = st.sampled_from(list(GOOD))
integers = hnp.integer_dtypes(endianness="?") | hnp.unsigned_integer_dtypes(
    endianness="?"
)
# Near the layout, in shape or in kind.
arrays = st.one_of(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0)),
    hnp.arrays(
        hnp.array_dtypes(max_size=2) | hnp.scalar_dtypes(),
        st.sampled_from([(), (0,), (4,), (4, 1), (2,), (4, 2, 3, 1), (4, 2, 3)]),
    ),
    hnp.arrays(integers, st.sampled_from([(4,), (4, 1), (2,)]), fill=st.just(0)),
    hnp.arrays(np.uint8, (4, 2, 3, 1)).map(np.asfortranarray),
    hnp.arrays(np.uint8, (4, 2, 3)),
    hnp.arrays(integers, (4,), elements=st.integers(0, 3)),
)


# A file's name in a zip cannot begin with a NUL.
odd_names = st.text(
    st.characters(min_codepoint=1, codec="utf-8"), min_size=1, max_size=3
)


# NumPy advises to save files of Python 2 anew.
@given(members=st.dictionaries(names | odd_names, arrays | st.none()))
def test_any_arrays_are_data_or_refused(folder, members):
    assert_loads_or_is_refused(folder, archive(**members))


compressions = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])


@given(at=st.floats(0, 1, exclude_max=True), compression=compressions)
def test_file_cut_short_is_refused(folder, at, compression):
    whole = archive(compression)
    cut = whole[: int(at * len(whole))]
    assert assert_loads_or_is_refused(folder, cut) is None


@given(
    at=st.floats(0, 1, exclude_max=True),
    change=st.integers(1, 255),
    compression=compressions,
)
def test_file_with_another_byte_is_data_or_refused(folder, at, change, compression):
    changed = bytearray(archive(compression))
    changed[int(at * len(changed))] ^= change
    assert_loads_or_is_refused(folder, changed)


@given(
    content=st.one_of(
        st.binary(),
        st.binary().map(lambda tail: b"PK\x03\x04" + tail),
        st.binary().map(lambda tail: b"\x93NUMPY" + tail),
        st.binary().map(lambda tail: archive() + tail),
        arrays.map(as_member),
    )
)
def test_any_bytes_are_data_or_refused(folder, content):
    assert_loads_or_is_refused(folder, content)


@given(members=st.dictionaries(names, st.binary(max_size=30), min_size=1))
def test_members_that_are_no_arrays_are_refused(folder, members):
    assert assert_loads_or_is_refused(folder, archive(**members)) is None


class Bomb:
    """Makes a file if it is ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@given(name=names, shape=st.sampled_from([(), (1,), (4,)]), bare=st.booleans())
def test_pickles_are_never_opened(folder, name, shape, bare):
    marker = folder / "unpickled"
    pickled = pickle.dumps(Bomb(marker))
    header = {"descr": "|O", "fortran_order": False, "shape": shape}
    forged = pickled if bare else member(header, pickled)
    for content in (archive(**{name: forged}), forged):
        assert assert_loads_or_is_refused(folder, content) is None
    assert not marker.exists()


def test_data_that_compress_a_thousandfold_are_loaded(folder):
    x_train = np.zeros((4, 2000, 3000, 1), np.uint8)
    x_test = np.zeros((2, 2000, 3000, 1), np.uint8)
    content = archive(zipfile.ZIP_DEFLATED, x_train=x_train, x_test=x_test)
    assert len(content) < x_train.nbytes / 500
    dataset = assert_loads_or_is_refused(folder, content)
    np.testing.assert_array_equal(dataset.train_inputs, x_train)


# --- The command line -----------------------------------------------------------------


def options_of(group):
    """The options of a command, as they are typed, and what some of them can be."""
    found = {}
    for option in dataclasses.fields(group):
        if dataclasses.is_dataclass(option.type):
            found |= options_of(option.type)
        else:
            flag = "--" + option.name.replace("_", "-")
            found[flag] = [str(word) for word in words_of(option.type)]
    return found


def words_of(kind):
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)
    return [word for part in typing.get_args(kind) for word in words_of(part)]


COMMANDS = {
    "run": options_of(Run),
    "compare": options_of(Compare),
    "study": options_of(Study),
    "plot": options_of(Plot),
}
ODD_WORDS = """
0 1 2 -1 10 64 0.5 .9 nan inf -inf 1e400 1e-400 1_0 0x10 ٣ True False None
digits english diabetes npz: npz:~nosuch/x npz:/ npz:. ~nosuch/x ~ / . .. - -- --- -x
-h --help --= --no --no-resume = : , sgd lcam adamw sgd:momentum=0.9 lcam:margin=-h
lcam:margin=nan .py:f x.py sgd-0.9 borrowed a.png .png [red] [/] {0} %s %()d @file $x$ *
"""
odd_words = st.one_of(
    st.sampled_from(ODD_WORDS.split()),
    st.sampled_from(
        [
            "",
            " ",
            "\n",
            "a\nb",
            "\x1b[31m",
            "\udc80",
            "npz:\udc80",
            "\udc80.png",
            "\0",
            "npz:\0",
            "\0.py:f",
            "\N{RIGHT-TO-LEFT OVERRIDE}x",
            "9" * 400,
            "9" * 5000,
            "-" + "9" * 400,
            "1" + "0" * 308 + ".0",
            "a" * 100_000,
            "npz:" + "a" * 5000,
            "npz:" + "a/" * 3000,
        ]
    ),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=5),
    st.text(st.characters(), max_size=3).map(lambda text: f"npz:{text}"),
)


@st.composite
def command_lines(draw):
    """A command with its options and odd values, sometimes with what is required."""
    command = draw(st.sampled_from(list(COMMANDS)))
    options = COMMANDS[command]
    words = [command]
    if command == "study":
        words += draw(st.lists(st.sampled_from(list(STUDIES)) | odd_words, max_size=1))
    if command == "plot":
        words += draw(st.lists(odd_words, max_size=2))
    for flag in draw(st.lists(st.sampled_from(list(options)), max_size=4)):
        value = st.one_of(odd_words, *[st.sampled_from(options[flag] or ["1"])] * 2)
        if draw(st.booleans()):
            words += [flag, *draw(st.lists(value, max_size=2))]
        else:
            words.append(f"{flag}={draw(value)}")
    if not draw(st.integers(0, 5)):
        words.insert(draw(st.integers(0, len(words))), draw(odd_words))
    return words


@contextlib.contextmanager
def no_work():
    """Takes the work away; what is left is parsing and checking."""
    small = Dataset(
        np.zeros((1600, 2, 2, 1), np.uint8),
        np.arange(1600, dtype=np.int32) % 2,
        np.zeros((2, 2, 2, 1), np.uint8),
        np.arange(2, dtype=np.int32),
        2,
    )

    def load_dataset(options):
        if options.data.startswith("npz:"):
            return load_real(options)
        return sources.choose(small, Data(every=options.every))

    load_real = sources.load_dataset
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "connect", lambda _: None)
        patch.setattr(sources, "load_dataset", load_dataset)
        patch.setattr(loop, "run", lambda *_, **__: Path("run"))
        patch.setattr(ending, "summarize", lambda *_: [])
        patch.setattr(compare, "compare", lambda *_: None)
        patch.setattr(study, "study", lambda *_: None)
        patch.setattr(plot_folders, "plot", lambda options: options.out)
        patch.setattr(plot, "plot_run", lambda path: path)
        yield


def outcome_of(arguments):
    """Exit code and stderr, which is encoded as a user's."""
    # As `python -m train` sets up its streams.
    streams = [
        io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", newline="")
        for _ in range(2)
    ]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        code = main(arguments)
    streams[1].flush()
    return code, streams[1].buffer.getvalue().decode()


def assert_told_in_one_line(code, stderr):
    assert code in (0, 2)
    if code == 2:
        *remarks, last = stderr.splitlines()
        assert last.startswith("error: ")
        assert not any(line.startswith("error: ") for line in remarks)
        assert stderr.endswith("\n")


def assert_runs_or_is_refused(arguments):
    with no_work():
        code, stderr = outcome_of(arguments)
    assert_told_in_one_line(code, stderr)


@given(arguments=command_lines())
@example(arguments=["run"])
@example(arguments=["run", "--epochs", "9" * 400])
@example(arguments=["run", "--data", "npz:a\nb"])
def test_any_options_run_or_are_refused_in_one_line(arguments):
    assert_runs_or_is_refused(arguments)


@some(0.4)
@given(arguments=st.lists(odd_words | st.sampled_from(list(COMMANDS)), max_size=4))
def test_any_words_run_or_are_refused_in_one_line(arguments):
    assert_runs_or_is_refused(arguments)


@st.composite
def arm_texts(draw):
    parts = [draw(st.sampled_from(["sgd", "lcam", "adamw"]) | odd_words)]
    optimizer = options_of(Optimizer)
    for flag in draw(
        st.lists(st.sampled_from(list(optimizer)) | odd_words, max_size=3)
    ):
        words = optimizer.get(flag) or ["0.5"]
        value = draw(odd_words | st.sampled_from(words))
        parts.append(draw(st.sampled_from([f"{flag[2:]}={value}", flag, value])))
    return parts[0] + ":" * bool(parts[1:]) + ",".join(parts[1:])


@given(texts=st.lists(arm_texts() | odd_words, max_size=3))
def test_any_arms_are_optimizers_or_refused(texts):
    arms, error = tried(parse_arms, texts)
    if arms is not None:
        assert list(arms) == list(dict.fromkeys(texts))
    else:
        assert error.startswith("--arms ")


@given(
    name=st.sampled_from(list(STUDIES)),
    quick=st.booleans(),
    arms=st.lists(
        st.sampled_from(["sgd-0.9", "lcam", "borrowed", "chance", "shuffled"])
        | odd_words,
        max_size=3,
    ),
    seeds=st.none() | st.lists(st.integers(0, 3), unique=True, min_size=1, max_size=2),
)
def test_any_arms_of_a_study_are_its_own_or_refused(name, quick, arms, seeds):
    options = Study(name=name, quick=quick, arms=tuple(arms), seeds=seeds)
    with no_work():
        blocks, error = tried(make_blocks, options, sources.load_dataset)
    if error:
        assert error.startswith("--arms ")
        return
    for block in blocks:
        assert {arm.name for arm in block.arms} <= {*arms, block.reference, "lcam"}


# --- The folder of a run --------------------------------------------------------------

EPOCHS, STEPS_PER_EPOCH = 2, 2
STATE = {"epoch": 1, "train_loss": 1.5, "train_error": 60.0, "test_error": 50.0}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**400, 2**63, -(10**30)]),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["1", "nan", "a\nb", "\udc80", "\u2028"]),
)
values = st.recursive(
    scalars,
    lambda parts: (
        st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=3), parts)
    ),
    max_leaves=5,
)
rows = st.fixed_dictionaries(
    {"epoch": st.integers(1, 3) | scalars},
    optional={
        name: st.floats(0, 100) | values
        for name in ("train_loss", "test_loss", "train_error", "test_error")
    }
    | {"mean_momentum": st.floats(0, 1) | st.none() | values}
    | {"step": st.integers(0, 3) | values},
)
deep = st.builds(
    lambda opening, depth, is_closed: (
        opening * depth + (("]" if opening == "[" else "1}") * depth) * is_closed
    ),
    st.sampled_from(["[", '{"a":']),
    st.sampled_from([1, 300, *range(900, 1000, 7), 100_000]),
    st.booleans(),
)
cells = st.one_of(
    st.integers(0, 4).map(str),
    st.floats().map(str),
    st.sampled_from(
        ["", "nan", "1e300", "1e999", "-1", '"', "x" * 200_000, "\r", "\0"]
    ),
)
tables = st.lists(st.lists(cells, max_size=6).map(",".join), max_size=6).map(
    lambda lines: "\n".join(["step,loss,average_loss,phase,momentum", *lines, ""])
)
steps = st.lists(st.lists(cells, min_size=4, max_size=4), max_size=6).map(
    lambda lines: "\n".join(
        [
            "step,loss,average_loss,phase,momentum",
            *(f"{step},{','.join(line)}" for step, line in enumerate(lines, 1)),
            "",
        ]
    )
)


def as_text(value):
    return json.dumps(value)


def as_lines(found):
    return "".join(json.dumps(row) + "\n" for row in found)


contents = st.one_of(
    values.map(as_text),
    st.lists(rows | values, max_size=3).map(as_lines),
    deep,
    st.text(max_size=30),
    tables,
    st.sampled_from(["9" * 5000, "NaN", "1e400", '{"epoch": 1', "\ufeff{}", "[]\n[]"]),
).map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=30)


@contextlib.contextmanager
def unchanged(path, content):
    """Writes a file, and makes sure that it stays so."""
    path.write_bytes(content)
    yield
    assert path.read_bytes() == content


DEEP = b"[" * 100_000


@given(content=contents, only_saved=st.booleans())
@example(content=DEEP, only_saved=False)
def test_any_config_is_that_of_the_run_or_refused(folder, content, only_saved):
    with unchanged(folder / "config.json", content):
        check = check_claim
        _, error = tried(check, folder, Run(), only_saved=only_saved)
    if error:
        assert str(folder) in error
        return
    ours = _flat(config_as_json(Run()))
    saved = _flat(json.loads(content))
    for option in saved.keys() & ours.keys() - {*FREE_OPTIONS}:
        assert saved[option] == ours[option]


saved_options = st.dictionaries(
    st.sampled_from([flag[2:].replace("-", "_") for flag in COMMANDS["run"]]),
    # A dictionary would be a group of options.
    values.filter(lambda value: not isinstance(value, dict)),
    min_size=1,
    max_size=3,
)


@given(changed=saved_options)
def test_any_option_that_was_another_is_refused(folder, changed):
    saved = _flat(config_as_json(Run()))
    content = json.dumps(saved | changed).encode()
    is_same = all(
        saved[option] == json.loads(json.dumps(value))
        for option, value in changed.items()
        if option not in FREE_OPTIONS
    )
    with unchanged(folder / "config.json", content):
        _, error = tried(check_claim, folder, Run())
    assert (error is None) == is_same
    assert is_same or "has other options or data" in error


@pytest.fixture(scope="module")
def finished(folder):
    """The folder of a run with its last checkpoint."""
    (folder / "finished" / "checkpoints" / str(EPOCHS)).mkdir(parents=True)
    return folder / "finished"


metrics = contents | st.lists(rows, min_size=1, max_size=3).map(
    lambda found: as_lines(found).encode()
)


@given(content=metrics)
@example(content=DEEP)
@example(content=b'{"epoch": 1}\n{"epoch": 2, "step": 2}\n')
def test_any_metrics_of_a_finished_run_are_its_epochs_or_none(finished, content):
    with unchanged(finished / "metrics.jsonl", content):
        found = records.read_ended(finished, EPOCHS)
    event("finished" if found else "not finished")
    assert (
        found is None
        or [row["epoch"] for row in found] == [1, 2]
        or records.has_diverged(found)
    )


@given(content=metrics)
@example(content=DEEP)
def test_any_metrics_of_a_run_without_its_last_checkpoint_are_read(folder, content):
    with unchanged(folder / "metrics.jsonl", content):
        found = records.read_ended(folder, EPOCHS)
        assert found is None or records.has_diverged(found)


@given(rows=contents, beyond=contents, place=st.integers(0), bit=st.integers(0, 7))
def test_rows_are_cut_to_what_was_sealed_or_told_and_kept(
    folder, rows, beyond, place, bit
):
    files = [folder / name for name in records.ROWS]
    for path in files:
        path.write_bytes(rows)
    seals = records.seal(folder)
    for path in files:
        path.write_bytes(rows + beyond)
    records.cut_rows(folder, seals)
    kept = [path.read_bytes() if path.exists() else b"" for path in files]
    assert kept == [rows, rows]
    if not rows:
        return
    changed = bytearray(rows + beyond)
    changed[place % len(rows)] ^= 1 << bit
    files[1].write_bytes(changed)
    _, error = tried(records.cut_rows, folder, seals)
    assert f"{files[1]} was changed or damaged" in error
    assert [path.read_bytes() for path in files] == [rows, changed]


@given(content=contents | steps.map(str.encode), num_steps=st.integers(0, 4))
def test_any_steps_are_phases_or_refused(folder, content, num_steps):
    with unchanged(folder / "steps.csv", content):
        phases, error = tried(records.read_phases, folder, num_steps)
    if error:
        assert f"--phases-of {folder} must be a run" in error
    else:
        assert phases.dtype == np.float32
        assert phases.shape == (num_steps,)
        assert np.isin(phases, (0, 1)).all()


@given(content=contents)
@example(content=DEEP)
@example(content=b"{}")
def test_provenance_is_a_list_whatever_was_there(folder, content):
    path = folder / "provenance.json"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.runs.folder.environment", lambda: {"command": "train"})
        add_provenance(folder, seed=1)
    *_, last = json.loads(path.read_text())
    assert last == {"command": "train", "seed": 1}


@pytest.fixture(scope="module")
def drawable(folder):
    return write_run(folder / "drawable")


def half(usual, odd):
    """One as often as the other, however many kinds each is made of."""
    return st.booleans().flatmap(lambda is_usual: usual if is_usual else odd)


# As a run writes them, but for the numbers.
single = st.floats(width=32, allow_infinity=False)
infinite = st.sampled_from([float("inf"), float("-inf")])
drawn_metrics = st.lists(
    st.fixed_dictionaries({name: st.none() | single for name in curves.METRICS[1:]}),
    min_size=1,
    max_size=40,
).map(
    lambda found: as_lines(
        {"epoch": epoch} | row for epoch, row in enumerate(found, 1)
    ).encode()
)
drawn_steps = st.lists(
    st.tuples(single | infinite, single, st.sampled_from([0, 1]), st.floats(0, 1)),
    min_size=1,
    max_size=6,
).map(
    lambda lines: "\n".join(
        [
            ",".join(records.STEP_COLUMNS),
            *(
                f"{step},{','.join(map(str, line))}"
                for step, line in enumerate(lines, 1)
            ),
            "",
        ]
    ).encode()
)


@some(0.5)
@given(
    metrics_content=half(st.none() | drawn_metrics, metrics),
    steps_content=half(st.none() | drawn_steps, contents | steps.map(str.encode)),
)
@example(
    metrics_content=None,
    steps_content=b"step,loss,average_loss,phase,momentum\n1,1,1,0,inf\n",
)
@example(
    metrics_content=b'{"epoch": 1, "train_loss": 1, "train_error": 1, "test_error": 1, '
    b'"low_loss_share": 0, "mean_momentum": 7e13}\n',
    steps_content=None,
)
def test_any_run_is_drawn_or_refused_in_one_line(
    drawable, tmp_path_factory, metrics_content, steps_content
):
    written = {"metrics.jsonl": metrics_content, "steps.csv": steps_content}
    before = {name: (drawable / name).read_bytes() for name in written}
    out = tmp_path_factory.mktemp("picture") / "figure.png"
    try:
        for name, content in written.items():
            if content is not None:
                (drawable / name).write_bytes(content)
        with pytest.MonkeyPatch.context() as patch:
            # A small picture is drawn as a large one is, in less time.
            patch.setitem(plt.rcParams, "savefig.dpi", 20)
            code, stderr = outcome_of(["plot", str(drawable), "--out", str(out)])
        event(f"exit code {code}")
        assert_told_in_one_line(code, stderr)
        assert out.exists() == (code == 0)
    finally:
        plt.close("all")
        for name, content in before.items():
            (drawable / name).write_bytes(content)


@some(0.1)
@given(name=st.sampled_from(["$x_$", "a\nb", "\udc80", "_", "%s", "\x1b", "{}", "é"]))
def test_run_in_a_folder_of_any_name_is_drawn(folder, name):
    path = folder / "named" / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write_run(path)
    out = path / "figure.png"
    out.unlink(missing_ok=True)
    assert outcome_of(["plot", str(path), "--out", str(out)])[0] == 0


# --- The library ----------------------------------------------------------------------

things = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**10, 2**31, 2**63, 10**400, -(10**400)]),
    st.just(5000).map(lambda digits: 10**digits),
    st.floats(),
    st.complex_numbers(),
    st.fractions(),
    st.decimals(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(st.floats(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
    hnp.arrays(
        hnp.scalar_dtypes() | st.just(np.dtype(object)),
        st.sampled_from([(), (), (1,), (0,), (2,), (2, 0)]),
    ),
    hnp.from_dtype(np.dtype(np.float16)),
    hnp.from_dtype(np.dtype(np.int64)),
    hnp.from_dtype(np.dtype(np.longdouble)),
    st.sampled_from(["float32", "bfloat16", "int8", "O", "m8[s]", "f4,f4", "0.5"]),
    st.sampled_from(
        [
            object(),
            NotImplemented,
            ...,
            slice(1),
            range(3),
            {1},
            np.ma.masked,
            np.void(b"a"),
            np.timedelta64(0, "s"),
            np.datetime64("NaT"),
            np.array([{}, None]),
            np.float32,
            memoryview(b"a"),
        ]
    ),
    st.sampled_from([0.5, 0, [0.5], 1j, True]).map(jnp.asarray),
    st.builds(jax.random.key, st.just(0)),
)
numbers_only = things.filter(lambda thing: not callable(thing))


SETTINGS = """learning_rate high_loss_momentum low_loss_momentum margin lagged nesterov
loss_average accumulator_dtype"""


def updated(optimizer, value=1.0):
    """The state after a step."""
    params = jnp.ones(2)
    _, state = optimizer.update(params, optimizer.init(params), params, value=value)
    return state


@pytest.mark.filterwarnings("ignore:Warning. converting a masked element")
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@given(
    name=st.sampled_from(SETTINGS.split()),
    thing=numbers_only | st.sampled_from([np.float32, jnp.bfloat16]),
)
@example(name="accumulator_dtype", thing=",")
def test_any_setting_works_or_is_refused_by_name(name, thing):
    if name != "accumulator_dtype" and callable(thing):
        return  # a schedule, of which nothing is known
    optimizer, error = tried(
        lcam_optax.lcam,
        **{"learning_rate": 0.1, name: thing},
        refusals=(TypeError, ValueError),
    )
    if error:
        assert f"`{name}`" in error
    else:
        updated(optimizer)


@pytest.mark.filterwarnings("ignore:Warning. converting a masked element")
@given(
    average=st.sampled_from(
        [
            (lcam_optax.ema_average, "decay"),
            (lcam_optax.epoch_average, "steps_per_epoch"),
        ]
    ),
    thing=things,
)
def test_any_setting_of_an_average_works_or_is_refused_by_name(average, thing):
    make, name = average
    loss_average, error = tried(make, thing, refusals=(TypeError, ValueError))
    if error:
        assert f"`{name}`" in error
    else:
        updated(lcam_optax.scale_by_lcam(loss_average=loss_average))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
# JAX takes strings for dtypes, and warns of some, before it refuses them.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
@given(value=things)
@example(value=np.int64(10**10))
def test_any_value_is_the_loss_or_refused_by_name(value):
    optimizer = lcam_optax.scale_by_lcam()
    state, error = tried(updated, optimizer, value, refusals=(TypeError, ValueError))
    if error:
        assert "`value`" in error
    else:
        loss = np.float32(value)
        expected = loss if np.isfinite(loss) else 0  # it is kept out of the average
        tiny = np.finfo(np.float32).tiny  # below, XLA may flush to zero
        np.testing.assert_allclose(state.average_loss, expected, rtol=1e-6, atol=tiny)
