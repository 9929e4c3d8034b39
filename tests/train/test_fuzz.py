"""Whatever comes in at the edges: files, command lines, settings.

Each test says what may come of it, and nothing else may. A few inputs each; with
`--torture` thousands.
"""

import contextlib
import dataclasses
import io
import pickle
import shutil
import struct
import typing
import warnings
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import lcam_optax
from train.__main__ import main
from train.data import sources
from train.data.dataset import Dataset
from train.errors import InputError
from train.reports import plot_folders
from train.runs import command, drawing, loop, processes
from train.runs.drawing import plt
from train.settings.commands import Compare, Plot, Study
from train.settings.experiment import Run
from train.settings.options import Data
from train.studies import compare, study
from train.studies.catalogue import STUDIES

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
    for split in ("train", "test"):
        inputs = getattr(dataset, f"{split}_inputs")
        targets = getattr(dataset, f"{split}_targets")
        assert (inputs.dtype, targets.dtype) == (np.uint8, np.int32)
        assert inputs.ndim == 4
        assert inputs.size > 0
        assert inputs.shape[1:] == dataset.train_inputs.shape[1:]
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
    hnp.arrays(integers, (4,), elements=st.integers(0, 3)),
)
# A file's name in a zip cannot begin with a NUL.
odd_names = st.text(
    st.characters(min_codepoint=1, codec="utf-8"), min_size=1, max_size=3
)


@given(members=st.dictionaries(names | odd_names, arrays | st.none()))
def test_any_arrays_are_data_or_refused(folder, members):
    assert_loads_or_is_refused(folder, archive(**members))


@given(
    at=st.floats(0, 1, exclude_max=True),
    change=st.integers(1, 255),
    compression=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_damaged_file_is_data_or_refused(folder, at, change, compression):
    content = bytearray(archive(compression))
    place = int(at * len(content))
    assert assert_loads_or_is_refused(folder, content[:place]) is None
    content[place] ^= change
    assert_loads_or_is_refused(folder, content)


@given(
    content=st.one_of(
        st.binary(),
        st.binary().map(lambda tail: b"PK\x03\x04" + tail),
        st.binary().map(lambda tail: archive() + tail),
        arrays.map(as_member),
        st.dictionaries(names, st.binary(max_size=30), min_size=1).map(
            lambda members: archive(**members)
        ),
    )
)
def test_any_bytes_are_data_or_refused(folder, content):
    assert_loads_or_is_refused(folder, content)


class Bomb:
    """Makes a file if it is ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@given(name=names, shape=st.sampled_from([(), (1,), (4,)]), bare=st.booleans())
def test_pickles_are_never_opened(folder, name, shape, bare):
    marker = folder / "unpickled"
    forged = pickle.dumps(Bomb(marker))
    if not bare:
        header = repr({"descr": "|O", "fortran_order": False, "shape": shape}).encode()
        length = struct.pack("<H", len(header))
        forged = b"\x93NUMPY\1\0" + length + header + forged
    for content in (archive(**{name: forged}), forged):
        assert assert_loads_or_is_refused(folder, content) is None
    assert not marker.exists()


def test_data_that_compress_a_thousandfold_are_loaded(folder):
    x_train = np.zeros((4, 2000, 3000, 1), np.uint8)
    content = archive(zipfile.ZIP_DEFLATED, x_train=x_train, x_test=x_train[:2])
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
-h --help --= --no --no-resume = : , sgd lcam optax.lion sgd:nesterov=3 lcam:margin=-h
lcam:margin=nan .py:f x.py sgd-0.9 borrowed a.png .png [red] [/] {0} %s %()d @file $x$ *
"""
odd_words = st.one_of(
    st.sampled_from(ODD_WORDS.split()),
    st.sampled_from(["", " ", "\n", "a\nb", "\x1b[31m", "\N{RIGHT-TO-LEFT OVERRIDE}x"]),
    st.sampled_from(["\udc80", "npz:\udc80", "\udc80.png", "\0", "npz:\0", "\0.py:f"]),
    st.sampled_from(["9" * 400, "9" * 5000, "-" + "9" * 400, "1" + "0" * 308 + ".0"]),
    st.sampled_from(["a" * 100_000, "npz:" + "a" * 5000, "npz:" + "a/" * 3000]),
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
        patch.setattr(command, "summarize", lambda *_: [])
        patch.setattr(compare, "compare", lambda *_: None)
        patch.setattr(study, "study", lambda *_: None)
        patch.setattr(plot_folders, "plot", lambda options: options.out)
        patch.setattr(drawing, "plot_run", lambda path: path)
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


words = st.lists(odd_words | st.sampled_from(list(COMMANDS)), max_size=4)


@given(arguments=st.one_of(command_lines(), command_lines(), words))
@example(arguments=["run"])
@example(arguments=["run", "--epochs", "9" * 400])
@example(arguments=["run", "--data", "npz:a\nb"])
def test_any_words_run_or_are_refused_in_one_line(arguments):
    with no_work():
        assert_told_in_one_line(*outcome_of(arguments))


# --- Files that were damaged ----------------------------------------------------------

SMALL = ["--network", "mlp", "--hidden", "4", "--epochs", "2"]
ARMS = ["--arms", "sgd", "lcam", "--report", "--keep-checkpoints", "1"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folders of a run and of a comparison, and a file of the user's beside."""
    home = tmp_path_factory.mktemp("whole")
    (home / "thesis.txt").write_text("precious")
    assert main(["run", *SMALL, "--out", str(home / "run")]) == 0
    assert main(["compare", *SMALL, *ARMS, "--out", str(home / "all")]) == 0
    return home


COMMANDS_OF = {
    "run": [
        ["evaluate", "run"],
        ["export", "run", "weights.npz", "--overwrite"],
        ["plot", "run", "--out", "figure.png", "--overwrite"],
        ["runs", "."],
        ["run", *SMALL, "--out", "run", "--resume", "--quiet"],
    ],
    "all": [
        ["plot", "all", "--out", "figure.png", "--overwrite"],
        ["report", "all"],
        ["runs", "--all", "."],
        ["compare", *SMALL, *ARMS, "--out", "all", "--resume"],
    ],
}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@some(0.1)
@given(st.data())
def test_damaged_files_are_told_in_one_line_and_the_rest_stays(
    whole, tmp_path_factory, data
):
    home = tmp_path_factory.mktemp("home") / "home"
    shutil.copytree(whole, home)
    kind = data.draw(st.sampled_from(list(COMMANDS_OF)))
    files = [path for path in sorted((home / kind).rglob("*")) if path.is_file()]
    path = data.draw(st.sampled_from([path for path in files if path.stat().st_size]))
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    match data.draw(st.sampled_from(["cut", "zeros", "missing"])):
        case "cut":  # as by a crash
            path.write_bytes(content[:place])
        case "zeros":
            path.write_bytes(content[:place] + bytes(len(content) - place))
        case "missing":
            path.unlink()
    beside = "all" if kind == "run" else "run"
    before = contents(home / beside)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(drawing, "save", lambda figure, path: plt.close(figure))
        for arguments in COMMANDS_OF[kind]:
            assert_told_in_one_line(*outcome_of(arguments))
    assert contents(home / beside) == before
    assert (home / "thesis.txt").read_text() == "precious"


# --- The library ----------------------------------------------------------------------

things = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers()),
    *(st.fractions(), st.decimals(), st.text(max_size=5), st.binary(max_size=5)),
    st.sampled_from([10**10, 2**31, 2**63, 10**400, -(10**400)]),
    st.just(5000).map(lambda digits: 10**digits),
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
    st.sampled_from([object(), NotImplemented, ..., slice(1), range(3), {1}]),
    st.sampled_from([np.ma.masked, np.void(b"a"), np.timedelta64(0, "s"), np.float32]),
    st.sampled_from([np.datetime64("NaT"), np.array([{}, None]), memoryview(b"a")]),
    st.sampled_from([0.5, 0, [0.5], 1j, True]).map(jnp.asarray),
    st.builds(jax.random.key, st.just(0)),
)


def updated(optimizer, value=1.0):
    """The state after a step."""
    params = jnp.ones(2)
    _, state = optimizer.update(params, optimizer.init(params), params, value=value)
    return state


SETTINGS = """learning_rate high_loss_momentum low_loss_momentum margin lagged nesterov
loss_average accumulator_dtype decay steps_per_epoch"""


def made(name, thing):
    match name:
        case "decay":
            loss_average = lcam_optax.ema_average(thing)
        case "steps_per_epoch":
            loss_average = lcam_optax.epoch_average(thing)
        case _:
            return lcam_optax.lcam(**{"learning_rate": 0.1, name: thing})
    return lcam_optax.scale_by_lcam(loss_average=loss_average)


@pytest.mark.filterwarnings("ignore:Warning. converting a masked element")
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@given(name=st.sampled_from(SETTINGS.split()), thing=things)
@example(name="accumulator_dtype", thing=",")
@example(name="accumulator_dtype", thing=jnp.bfloat16)
def test_any_setting_works_or_is_refused_by_name(name, thing):
    if callable(thing) and name not in ("accumulator_dtype", "decay"):
        return  # a schedule, of which nothing is known
    optimizer, error = tried(made, name, thing, refusals=(TypeError, ValueError))
    if error:
        assert f"`{name}`" in error
    else:
        updated(optimizer)


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
