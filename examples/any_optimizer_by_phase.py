"""The loss's phase picks any hyperparameter: AdamW's b1, a rate, a weight decay.

    python -m examples.any_optimizer_by_phase

It fits a small network with each of three optimizers, and prints the last loss, the
share of low-loss steps, and both values of the hyperparameter as they were seen.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lcam_optax

# The first value is for a loss that is not below its average, the second for one below.
by_phase = lcam_optax.loss_phase_schedule
AdamW, SGD, Decay = map(
    optax.inject_hyperparams, (optax.adamw, optax.sgd, optax.add_decayed_weights)
)

OPTIMIZERS = {
    "AdamW's b1": AdamW(3e-3, b1=by_phase(0.9, 0.95)),
    "SGD's rate": SGD(by_phase(0.01, 0.02), momentum=0.9),
    "weight decay": optax.chain(Decay(by_phase(1e-4, 5e-4)), optax.sgd(0.02, 0.9)),
}
INJECTED = {"AdamW's b1": "b1", "SGD's rate": "learning_rate"}


def loss_fn(params, x, y):
    hidden = jnp.tanh(x @ params["in"])
    return jnp.mean((hidden @ params["out"] - y) ** 2)


def fit(optimizer, name):
    """Trains for 300 steps; returns losses, phases and the hyperparameter, [300]."""

    @jax.jit
    def train_step(carry, key):
        params, opt_state = carry
        x = jax.random.uniform(key, (32, 1), minval=-3, maxval=3)
        loss, grads = jax.value_and_grad(loss_fn)(params, x, jnp.sin(x))
        updates, opt_state = optimizer.update(grads, opt_state, params, value=loss)
        seen = (
            loss,
            optax.tree.get(opt_state, "phase"),
            optax.tree.get(opt_state, name, filtering=is_number),
        )
        return (optax.apply_updates(params, updates), opt_state), seen

    keys = jax.random.split(jax.random.key(0), 303)
    params = {
        "in": jax.random.normal(keys[0], (1, 32)),
        "out": jax.random.normal(keys[1], (32, 1)) / 6,
    }
    _, seen = jax.lax.scan(train_step, (params, optimizer.init(params)), keys[3:])
    return map(np.array, seen)


def is_number(path, leaf):
    """The hyperparameter itself: the state of its schedule has the same name."""
    return isinstance(leaf, jax.Array)


def main():
    for title, optimizer in OPTIMIZERS.items():
        name = INJECTED.get(title, "weight_decay")
        losses, phases, values = fit(optimizer, name)
        print(
            f"{title:12}  last loss {losses[-20:].mean():.4f}, low-loss "
            f"{phases.mean():.0%}, high {values[phases == 0].mean():.4g}, low "
            f"{values[phases == 1].mean():.4g}"
        )


if __name__ == "__main__":
    main()
