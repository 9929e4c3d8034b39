"""A network of one's own: what is refused, and what is said of it."""

from pathlib import Path

import pytest

from train.__main__ import main
from train.engine import own
from train.engine.networks import NetworkSpec, describe
from train.engine.own import OwnFunction
from train.errors import InputError
from train.settings.options import Model

PATH = Path("net.py")
TOP = """\
import jax, jax.numpy as jnp
from flax import nnx

class Net(nnx.Module):
    def __init__(self, input_shape, num_outputs, *, rngs):
        self.layer = nnx.Linear(input_shape[0], num_outputs, rngs=rngs)
        self.norm = nnx.BatchNorm(num_outputs, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.more(num_outputs)

    def more(self, num_outputs):
        pass

    def __call__(self, inputs, *, train):
        x = self.norm(self.layer(inputs), use_running_average=not train)
        return self.drop(x, deterministic=not train)
"""


def network(end, *, function="make", is_text=False):
    return OwnFunction(PATH, function, (TOP + end).encode(), is_text)


def check(end, **options):
    own.check(network(end, **options), (4,), 3)


def made(line):
    """A network with one more line in its making."""
    return f"class make(Net):\n    def more(self, n):\n        {line}"


def called(line):
    """A network whose call is one line, the 19th of the file."""
    return f"class make(Net):\n    def __call__(self, x, *, train):\n        {line}"


def test_network_with_dropout_and_batch_norm_can_be_trained():
    check("make = Net")


def test_network_of_text_has_logits_of_every_token():
    end = """\
class make(nnx.Module):
    def __init__(self, input_shape, num_outputs, *, rngs):
        self.embed = nnx.Embed(num_outputs, num_outputs, rngs=rngs)
    def __call__(self, inputs, *, train):
        return self.embed(inputs)
"""
    check(end, is_text=True)


NOT_KEPT = "cannot keep {}. Its arrays must be in .* nnx.Param, float32"
LOGITS = r"logits, float32 \(2, 3\) for inputs \(2, 4\); got "


# Each is wrong in one way.
@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("def mak(): ...", r"net.py has no function make\. Did you mean mak\?"),
        ("make = 3", r"net.py has no function make\. Behind the colon"),
        ("def make(*_, rngs): ...", "must return a flax.nnx.Module, got NoneType"),
        (made("self.mask = jnp.ones(n)"), NOT_KEPT.format("mask")),
        (made("self.w = nnx.Param(jnp.ones(n, 'bfloat16'))"), NOT_KEPT.format("w")),
        (called("self.a = nnx.Variable(x); return x"), NOT_KEPT.format("a")),
        (called("return x @ x.T"), LOGITS + r"float32 \(2, 2\)"),
        (called("return self.layer(x), 1"), LOGITS + "tuple"),
        (called("return self.layer(x).astype('bfloat16')"), LOGITS + "bfloat16"),
        (
            called("return self.norm(self.layer(x))"),
            r"train=False\) .* changes norm.mean, and a test must not. Pass use_",
        ),
        (
            called("return self.drop(self.layer(x), deterministic=False)"),
            "depends on random numbers, and a test must not. .* deterministic=not",
        ),
    ],
)
def test_network_that_cannot_be_trained_is_refused(end, message):
    with pytest.raises(InputError, match=message):
        check(end)


# What goes wrong while the file's own code is executed.
@pytest.mark.parametrize(
    ("end", "message", "line", "error"),
    [
        ("import nothing", "cannot be imported", 17, "ModuleNotFoundError: No module "),
        ("def f(:", "cannot be imported", 17, "SyntaxError: invalid syntax"),
        (
            "def make(*_, rngs):\n    return None + 3",
            r"make\(\(4,\), 3, rngs=rngs\) failed",
            *(18, "TypeError: unsupported operand"),
        ),
        (
            called("return self.norm(x)"),
            r"network\(inputs, train=True\) failed on float32 \(2, 4\)",
            *(19, "TypeError: add got incompatible shapes for broadcasting"),
        ),
    ],
)
def test_error_in_the_file_has_pythons_traceback(end, message, line, error):
    with pytest.raises(InputError, match=f"make of net.py: .*{message}") as caught:
        check(end)
    frame, *_, last = caught.value.details.splitlines()
    assert frame.startswith(f'  File "net.py", line {line}')
    assert caught.value.details.count("  File ") == 1  # none of the program, Flax, JAX
    assert last.startswith(error)


def test_traceback_is_printed_with_the_line_of_the_file(tmp_path, capsys):
    path = tmp_path / "net.py"
    path.write_text("import flax\n\n1 / 0\n")
    assert main(["run", "--network", f"{path}:make", "--out", f"{tmp_path}/run"]) == 2
    assert capsys.readouterr().err.splitlines()[-5:] == [
        f"error: make of {path}: the file cannot be imported.",
        f'  File "{path}", line 3, in <module>',
        "    1 / 0",
        "    ~~^~~",
        "ZeroDivisionError: division by zero",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet", "or FILE.py:FUNCTION; got 'resnet'. Did you mean wide_resnet"),
        ("net.py", "or FILE.py:FUNCTION; got 'net.py'"),
        ("net.py:1x", "or FILE.py:FUNCTION; got 'net.py:1x'"),
        ("nowhere/net.py:make", "cannot read nowhere/net.py: No such"),
    ],
)
def test_network_that_is_not_there_is_told(text, message, capsys):
    assert main(["run", "--network", text]) == 2
    assert message in capsys.readouterr().err


def test_label_is_the_function_with_the_sum_of_its_file():
    made = OwnFunction(Path("my nets/net.py"), "make", b"abc", False)
    spec = NetworkSpec(Model("my nets/net.py:make"), (4,), 3, made)
    # The SHA-256 sum of "abc", from FIPS 180-2.
    assert describe(spec) == "make of net.py (ba7816bf)"


def test_file_is_that_which_was_imported_first(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(TOP + "make = Net")
    first = own.find_own(Model(f"{path}:make").own)
    path.write_text("make = None")
    assert own.find_own(Model(f"{path}:make").own) == first


def test_layer_that_draws_random_numbers_in_a_test_can_be_trained():
    check(called("self.drop.rngs(); return self.layer(x)"))
