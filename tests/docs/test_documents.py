"""What README.md and docs/ promise: their code runs and prints what it says."""

import contextlib
import io
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen
from flax.training import train_state

import lcam_optax
import models
import train.data.sources
import train.reports.plot_folders
import train.reports.report
import train.runs.command
import train.runs.doctor
import train.runs.listing
import train.runs.processes
import train.studies.study
from train.__main__ import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
RECIPES = (ROOT / "docs" / "recipes.md").read_text()
PAGES = {path: path.read_text() for path in (ROOT / "docs").glob("*.md")}


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def run(text):
    """Runs a document's Python; returns its names, what it said it prints, and did."""
    code = "".join(blocks(text, "python"))
    names = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    said = re.findall(r"^print\(.*\)  # (.*)", code, re.M)
    return names, said, printed.getvalue().splitlines()


def test_readme_python_runs_and_prints_what_its_comments_say():
    _, said, printed = run(README)
    assert len(said) == len(printed) == 1
    assert said[0].split(":")[0] == printed[0]


@pytest.mark.parametrize(
    "name",
    [
        "training",
        "data",
        "optimizers",
        pytest.param("paper", marks=pytest.mark.torture),
    ],
)
def test_python_of_a_page_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # The commands of the page make the run; test_finished.py loads a real one.
    zeros = lambda folder: lambda images: np.zeros((len(images), 10))  # noqa: E731
    monkeypatch.setattr(train, "load_run", zeros, raising=False)
    monkeypatch.setattr(models, "load", zeros)
    page = PAGES[ROOT / "docs" / f"{name}.md"]
    page = page.partition("\n## From other files")[0]  # see test_data_recipes.py
    run(page.rpartition("\n## Your own images in one file")[2])  # and test_new_data.py


def test_readme_diff_is_the_example():
    [example] = blocks(README, "python")
    [diff] = blocks(README, "diff")
    added = re.findall(r"^\+(.*)", diff, re.M)
    assert len(added) == 2
    for line in added:
        assert line in example


@pytest.mark.parametrize(
    "command",
    dict.fromkeys(
        command.partition(" > ")[0].strip()
        for text in (README, *PAGES.values())
        for block in blocks(text, "console")
        for command in re.findall(r"^\w*\$ .*?python -m train ([^&\n]*)", block, re.M)
    ),
)
def test_documents_commands_have_options_that_exist(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(
        r"`cnn.py`.*?^```python\n(.*?)^```",
        PAGES[ROOT / "docs" / "training.md"],
        re.M | re.S,
    )
    (tmp_path / "cnn.py").write_text(example)
    optimizer = (ROOT / "examples" / "own_optimizer.py").read_text()
    (tmp_path / "mine.py").write_text(optimizer)
    for folder in {"runs", *re.findall(r"runs/\S+", command.partition("--out")[0])}:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "metrics.jsonl"):  # as of a run
            (tmp_path / folder / name).touch()

    # Stops where data or runs are read: all options are parsed and checked by then.
    def stop(*_):
        raise SystemExit(33)

    monkeypatch.setattr(train.data.sources, "load_dataset", stop)
    monkeypatch.setattr(train.runs.processes, "connect", stop)
    monkeypatch.setattr(train.studies.study, "study", stop)
    monkeypatch.setattr(train.reports.report, "report", stop)
    monkeypatch.setattr(train.reports.plot_folders, "plot", stop)
    monkeypatch.setattr(train.runs.command, "read_network", stop)
    monkeypatch.setattr(train.runs.doctor, "doctor", stop)
    monkeypatch.setattr(train.runs.listing, "list_runs", stop)
    if command in ("presets", "studies"):
        assert main([command]) == 0
        return
    with pytest.raises(SystemExit) as exit_:
        main(shlex.split(command))
    assert exit_.value.code == 33


# --- Recipes --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recipes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "device_count", lambda: 2)  # divides the recipes' batch
        names, said, printed = run(RECIPES)
    return SimpleNamespace(**names, said=said, printed=printed)


def test_recipes_print_what_their_comments_say(recipes):
    assert len(recipes.said) == 14
    assert recipes.printed == recipes.said


def test_every_wrapper_that_drops_value_has_a_recipe():
    links = re.findall(r"\]\(#(.*?)\)", RECIPES)
    headings = re.findall(r"^##+ (.*)", RECIPES, re.M)
    assert links
    assert set(links) <= {heading.lower().replace(" ", "-") for heading in headings}


# SGD by LCAM must do in the recipe what SGD does in Optax's wrapper.
SGD = optax.sgd(0.1, momentum=0.9)


@pytest.fixture
def recipes_with_sgd(recipes, monkeypatch):
    """The recipes, where LCAM's two coefficients are equal."""
    functions = recipes.lookahead_step.__globals__
    monkeypatch.setitem(functions, "optimizer", lcam_optax.lcam(0.1, 0.9, 0.9))
    return recipes


def test_lookahead_recipe_does_what_optax_does(recipes_with_sgd):
    names = recipes_with_sgd
    lookahead = optax.lookahead(SGD, sync_period=5, slow_step_size=0.5)
    theirs = optax.LookaheadParams.init_synced(names.params)
    their_state = lookahead.init(theirs)
    fast = slow = names.params
    state = names.opt_state
    for count in range(12):
        grads = jax.grad(names.loss_fn)(theirs.fast, names.x, names.y)
        updates, their_state = lookahead.update(grads, their_state, theirs)
        theirs = optax.apply_updates(theirs, updates)
        fast, slow, state = names.lookahead_step(
            fast, slow, state, count, names.x, names.y
        )
    chex.assert_trees_all_close((fast, slow), (theirs.fast, theirs.slow), rtol=1e-5)


def test_sam_recipe_does_what_optax_does(recipes_with_sgd):
    names = recipes_with_sgd
    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(0.05))
    sam = optax.contrib.sam(SGD, ascent, sync_period=2, opaque_mode=True)
    theirs, their_state = names.params, sam.init(names.params)
    ours, state = names.params, names.opt_state

    def grad_fn(params, _):
        return jax.grad(names.loss_fn)(params, names.x, names.y)

    for _ in range(10):
        updates, their_state = sam.update(
            grad_fn(theirs, 0), their_state, theirs, grad_fn=grad_fn
        )
        theirs = optax.apply_updates(theirs, updates)
        ours, state = names.sam_step(ours, state, names.x, names.y)
    chex.assert_trees_all_close(ours, theirs, rtol=1e-5)


def test_multi_steps_recipe_equals_the_full_batch(recipes):
    names = recipes
    ours, state = names.params, names.multi_steps.init(names.params)
    mean_loss = jnp.zeros(())
    full, full_state = names.params, names.opt_state
    for _ in range(4):
        for part in (slice(0, 2), slice(2, 4)):
            ours, state, mean_loss = names.micro_step(
                ours, state, mean_loss, names.x[part], names.y[part]
            )
        loss, grads = jax.value_and_grad(names.loss_fn)(full, names.x, names.y)
        updates, full_state = names.optimizer.update(
            grads, full_state, full, value=loss
        )
        full = optax.apply_updates(full, updates)
    chex.assert_trees_all_close(ours, full, rtol=1e-5)
    chex.assert_trees_all_close(state.inner_opt_state, full_state, rtol=1e-5)


def test_train_state_recipe_takes_lcams_step(recipes):
    # One step from zero: minus the learning rate times the gradient, 2 / 4 (0 - y).
    np.testing.assert_allclose(recipes.flax_state.params["w"], 0.1 * recipes.y / 2)
    assert recipes.flax_state.step == 1


def fp8_losses(names, state_class, optimizer, **keywords):
    """Losses of a layer whose scales are overwritten by their gradients."""
    dense = linen.Dense(4, dot_general_cls=linen.Fp8DirectDotGeneralOp)
    inputs = jax.random.normal(jax.random.key(0), (8, 4))
    state = state_class.create(
        apply_fn=dense.apply, params=dense.init(jax.random.key(1), inputs), tx=optimizer
    )
    losses = []
    for _ in range(4):
        loss, grads = jax.value_and_grad(
            lambda params: jnp.mean((dense.apply(params, inputs) - 1) ** 2)
        )(state.params)
        state = state.apply_gradients(
            grads=grads, **{name: loss for name in keywords.values()}
        )
        losses.append(loss)
    return losses


def test_train_state_recipe_trains_fp8_layers_as_flax_does(recipes):
    ours = fp8_losses(
        recipes,
        recipes.ValueTrainState,
        lcam_optax.lcam(0.1, 0.9, 0.9),
        loss="value",
    )
    theirs = fp8_losses(recipes, train_state.TrainState, SGD)
    np.testing.assert_array_equal(ours, theirs)


def steps_of(names, step, data):
    params, state = names.params, names.parallel.init(names.params)
    for _ in range(3):
        params, state = step(params, state, *data)
    return params


def test_replicas_recipes_take_the_steps_of_the_whole_batch(recipes):
    # `out_axes=None` and `out_specs=P()` refuse replicas that differ.
    def whole_step(params, state, x, y):
        loss, grads = jax.value_and_grad(recipes.loss_fn)(params, x, y)
        optimizer = lcam_optax.lcam(0.1)
        updates, state = optimizer.update(grads, state, params, value=loss)
        return optax.apply_updates(params, updates), state

    whole = steps_of(recipes, whole_step, (recipes.x, recipes.y))
    for step, data in (
        (recipes.sharded_step, recipes.sharded),
        (recipes.in_parts, recipes.replicas),
    ):
        chex.assert_trees_all_close(steps_of(recipes, step, data), whole, rtol=1e-5)


def test_population_recipe_trains_each_member_as_alone(recipes):
    found = recipes.train_member(recipes.members)
    params, state, losses = {"w": jnp.eye(4)[2]}, recipes.opt_state, []
    for _ in range(3):
        loss, grads = jax.value_and_grad(recipes.loss_fn)(params, recipes.x, recipes.y)
        updates, state = recipes.optimizer.update(grads, state, params, value=loss)
        params = optax.apply_updates(params, updates)
        losses.append(loss)
    np.testing.assert_allclose(np.asarray(found)[2], losses, rtol=1e-5)


def test_equinox_recipe_takes_a_step_that_lowers_the_loss(recipes):
    def loss(network):
        return jnp.mean((jax.vmap(network)(recipes.x) - recipes.y) ** 2)

    after, state = recipes.eqx_step(
        recipes.network, recipes.eqx_state, recipes.x, recipes.y
    )
    assert loss(after) < loss(recipes.network)
    assert optax.tree.get(state, "count") == 2


def test_state_survives_orbax(recipes, tmp_path):
    loss, grads = jax.value_and_grad(recipes.loss_fn)(
        recipes.params, recipes.x, recipes.y
    )
    _, state = recipes.optimizer.update(
        grads, recipes.opt_state, recipes.params, value=loss
    )
    recipes.save(tmp_path / "state", state)
    restored = recipes.restore(tmp_path / "state", recipes.params)
    chex.assert_trees_all_equal(restored, state)
    chex.assert_trees_all_equal_shapes_and_dtypes(restored, state)
    assert jax.tree.structure(restored) == jax.tree.structure(state)


def test_tunable_recipe_changes_the_coefficient_without_compiling_anew(recipes):
    @jax.jit
    @chex.assert_max_traces(n=1)
    def update(state, loss):
        return recipes.tunable.update(recipes.params, state, value=loss)[1]

    state = update(recipes.tunable_state, jnp.float32(2))
    state = update(state, jnp.float32(1))
    assert state.inner_state[0].momentum == jnp.float32(0.93)
    state.hyperparams["low_loss_momentum"] = jnp.float32(0.5)
    state = update(state, jnp.float32(0.5))
    assert state.inner_state[0].momentum == 0.5
