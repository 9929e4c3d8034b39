"""A network of one's own: what is refused, and what is said of it."""

from pathlib import Path

import pytest

from train.engine import own
from train.engine.flops import training_flops
from train.engine.networks import NetworkSpec, check_own, describe
from train.engine.own import OwnNetwork
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
    return OwnNetwork(PATH, function, (TOP + end).encode(), is_text)


def check(end, **options):
    own.check(network(end, **options), (4,), 3)


def changed(method):
    """A network with another method, which starts in line 18."""
    return f"class make(Net):\n{method}"


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
    spec = NetworkSpec(Model("net.py:make"), (4,), 3, network(end, is_text=True))
    assert training_flops(spec) == 0  # it only looks its numbers up


# Each is wrong in one way.
@pytest.mark.parametrize(
    ("end", "message"),
    [
        (
            "import nothing",
            r"cannot import net.py: ModuleNotFoundError: .* \(line 17: ",
        ),
        ("def f(:", r"cannot import net.py: SyntaxError: .* \(line 17: def f\(:\)"),
        ("1 / 0", r"cannot import net.py: ZeroDivisionError: .* \(line 17: 1 / 0\)"),
        ("exit(3)", r"cannot import net.py: SystemExit: 3 \(line 17: exit\(3\)\)"),
        ("def mak(): ...", r"no function make. Did you mean mak\? It has Net and mak"),
        ("make = 3", r"has no function make. It has Net\."),
        (
            "def make(): ...",
            r"make\(\(4,\), 3, rngs=rngs\) of net.py failed: TypeError",
        ),
        (
            "def make(*_, rngs):\n    return None + 3",
            r"failed: TypeError: .* \(line 18: return None \+ 3\)",
        ),
        ("def make(*_, rngs): ...", "must return a flax.nnx.Module, got NoneType"),
        (
            changed("    def more(self, n): self.mask = jnp.ones(n)"),
            r"JAX array in the attribute mask\. Wrap it, as in self.mask = nnx.Var",
        ),
        (
            changed("    def more(self, n): self.k = nnx.Variable(jax.random.key(0))"),
            "k of make of net.py is of dtype key<fry>, which cannot be saved",
        ),
        (
            changed(
                "    def more(self, n): self.w = nnx.Param(jnp.ones(n, 'bfloat16'))"
            ),
            "weights of make of net.py must be float32, got bfloat16 for w",
        ),
        (
            "class make(nnx.Module):\n    def __init__(*_, rngs): ...\n"
            "    def __call__(self, inputs, *, train): return inputs",
            "has no weights",
        ),
        (
            "class make(nnx.Module):\n    def __init__(*_, rngs): ...",
            "must be called as .* it has no __call__",
        ),
        (
            changed("    def __call__(self, inputs): return self.layer(inputs)"),
            r"must be called as .* its __call__ takes \(inputs\)",
        ),
        (
            changed(
                "    def __call__(self, x, *, train):\n        return self.norm(x)"
            ),
            r"failed on float32 inputs \(2, 4\) with train=True: .* \(line 19: return",
        ),
        (
            changed("    def __call__(self, x, *, train): return x @ x.T"),
            r"\[batch, num_outputs\], here float32 \(2, 3\); got float32 \(2, 2\)",
        ),
        (
            changed("    def __call__(self, x, *, train): return self.layer(x), 1"),
            r"here float32 \(2, 3\); got tuple for inputs \(2, 4\)",
        ),
        (
            changed(
                "    def __call__(self, x, *, train):\n"
                "        return self.layer(x).astype('bfloat16')"
            ),
            r"here float32 \(2, 3\); got bfloat16 \(2, 3\)",
        ),
        (
            changed(
                "    def __call__(self, x, *, train):\n"
                "        self.seen = nnx.Variable(x)\n"
                "        return self.layer(x)"
            ),
            "adds variables, .*: seen. Training needs the same",
        ),
        (
            changed(
                "    def __call__(self, x, *, train):\n"
                "        return self.norm(self.layer(x))"
            ),
            "changes norm/mean and norm/var when it is called with train=False: a test "
            "must not. Pass use_running_average=not train to nnx.BatchNorm.",
        ),
        (
            changed(
                "    def more(self, _): self.calls = nnx.Variable(jnp.zeros(()))\n"
                "    def __call__(self, x, *, train):\n"
                "        self.calls[...] += 1\n"
                "        return self.layer(x)"
            ),
            "changes calls when .*: a test must not. Change them with train=True only.",
        ),
        (
            changed(
                "    def __call__(self, x, *, train):\n"
                "        return self.drop(self.layer(x), deterministic=False)"
            ),
            "depend on chance when it is called with train=False: it draws from "
            "drop/rngs/count and drop/rngs/key. Pass deterministic=not train",
        ),
    ],
)
def test_network_that_cannot_be_trained_is_told_with_its_line(end, message):
    with pytest.raises(InputError, match=message):
        check(end)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet", r"or FILE\.py:FUNCTION, a network of your own; .* mean wide_resnet"),
        ("net.py", r"--network must be .* FILE.py:FUNCTION, .* got 'net.py'"),
        ("net.py:1x", r"or FILE\.py:FUNCTION, .* got 'net.py:1x'"),
        (
            "nowhere/net.py:make",
            "cannot read nowhere/net.py, the file of --network: No such",
        ),
        ("\0.py:make", "cannot read .*: embedded null byte"),
    ],
)
def test_network_that_is_not_there_is_told(text, message):
    with pytest.raises(InputError, match=message):
        check_own(Model(text).network)


def test_label_is_the_function_with_the_sum_of_its_file():
    made = OwnNetwork(Path("my nets/net.py"), "make", b"abc", False)
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
    check(
        changed(
            "    def __call__(self, x, *, train):\n"
            "        self.drop.rngs()\n"
            "        return self.layer(x)"
        )
    )
