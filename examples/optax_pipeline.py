"""LCAM in an Optax pipeline: clipping, weight decay, a schedule, accumulation.

    python -m examples.optax_pipeline

It fits a line by batches in two parts each, and prints loss, phase and rate as it goes.
"""

import jax
import jax.numpy as jnp
import optax

import lcam_optax

PARTS = 2  # micro-batches, whose gradients are one step's


def make_optimizer(learning_rate):
    return optax.chain(
        optax.clip_by_global_norm(5.0),
        optax.add_decayed_weights(1e-4),  # before the momentum, as in torch.optim.SGD
        lcam_optax.lcam(learning_rate, high_loss_momentum=0.9, low_loss_momentum=0.95),
    )


# `inject_hyperparams` keeps the rate in the state, where it can be read and changed.
optimizer = optax.inject_hyperparams(make_optimizer)(
    optax.cosine_decay_schedule(0.05, decay_steps=200)
)


def loss_fn(params, x, y):
    return jnp.mean((x @ params["w"] + params["b"] - y) ** 2)


# LCAM compares the loss of the whole batch: the mean over its parts.
value_and_grad = optax.microbatching.microbatch(
    jax.value_and_grad(loss_fn),
    argnums=(1, 2),
    microbatch_size=16 // PARTS,
    accumulator=optax.microbatching.AccumulationType.MEAN,
)


@jax.jit
def train_step(params, opt_state, x, y):
    loss, grads = value_and_grad(params, x, y)
    updates, opt_state = optimizer.update(grads, opt_state, params, value=loss)
    return optax.apply_updates(params, updates), opt_state, loss


def main():
    params = {"w": jnp.zeros(4), "b": jnp.zeros(())}
    opt_state = optimizer.init(params)
    for step in range(1, 201):
        x_key, noise_key = jax.random.split(jax.random.key(step))
        x = jax.random.normal(x_key, (16, 4))
        y = x @ jnp.arange(4.0) + 1 + 0.1 * jax.random.normal(noise_key, (16,))
        params, opt_state, loss = train_step(params, opt_state, x, y)
        if step % 40 == 0:
            phase = lcam_optax.Phase(int(optax.tree.get(opt_state, "phase")))
            rate = opt_state.hyperparams["learning_rate"]
            print(f"step {step:3}: loss {loss:.4f}, {phase.name}, rate {rate:.4f}")
    print("weights", params["w"].round(2), "bias", params["b"].round(2))


if __name__ == "__main__":
    main()
