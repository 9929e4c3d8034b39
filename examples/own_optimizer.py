"""An optimizer of your own, for the program: sign descent with a moving mean.

    python -m examples.own_optimizer                        # tries it on a parabola
    python -m train run --optimizer examples/own_optimizer.py:make
    python -m train compare --arms sgd lcam examples/own_optimizer.py:make
    python -m train compare --arms sgd examples/own_optimizer.py:make:decay=0.9/0.95

The program calls `make` with its learning rate, which follows its schedule, and with
the options behind the colon. The last command lets the loss's phase pick `decay`.
"""

import jax
import jax.numpy as jnp
import optax


def scale_by_sign_of_mean(decay):
    """Steps by the sign of a moving mean of the gradients."""

    def init(params):
        return optax.tree.zeros_like(params)

    def update(updates, mean, params=None):
        del params
        mean = jax.tree.map(lambda m, g: decay * m + (1 - decay) * g, mean, updates)
        return jax.tree.map(jnp.sign, mean), mean

    return optax.GradientTransformation(init, update)


def make(learning_rate, *, decay=0.9, weight_decay=1e-3):
    return optax.chain(
        scale_by_sign_of_mean(decay),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )


def main():
    optimizer = make(optax.cosine_decay_schedule(0.1, 100), weight_decay=0.0)
    target = jnp.array([1.0, -2.0, 3.0])
    params = jnp.zeros(3)
    state = optimizer.init(params)
    for _ in range(100):
        updates, state = optimizer.update(params - target, state, params)
        params = optax.apply_updates(params, updates)
    print("from zeros to", params.round(2), "on the way to", target)


if __name__ == "__main__":
    main()
