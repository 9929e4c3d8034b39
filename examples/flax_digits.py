"""LCAM trains a small Flax network on handwritten digits, and its phases are drawn.

    python -m examples.flax_digits

It prints test error and low-loss steps of each epoch, and draws phases.png: the loss of
every step, in the colour of its phase, and the average that it was compared with.
"""

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

import lcam_optax

BATCH, EPOCHS, NUM_TRAIN = 64, 10, 1400


class Network(nnx.Module):
    """One hidden layer."""

    def __init__(self, rngs):
        self.hidden = nnx.Linear(64, 64, rngs=rngs)
        self.output = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        return self.output(nnx.relu(self.hidden(x)))


def loss_fn(network, x, y):
    cross_entropy = optax.losses.softmax_cross_entropy_with_integer_labels
    return cross_entropy(network(x), y).mean()


@nnx.jit
def train_step(network, optimizer, x, y):
    loss, grads = nnx.value_and_grad(loss_fn)(network, x, y)
    optimizer.update(network, grads, value=loss)  # LCAM needs the loss
    state = optimizer.opt_state
    phase, average = (optax.tree.get(state, k) for k in ("phase", "average_loss"))
    return loss, phase[...], average[...]


def main():
    x, y = load_digits(return_X_y=True)
    x = jnp.float32(x / 16 - 0.5)
    network = Network(nnx.Rngs(0))
    optimizer = nnx.Optimizer(network, lcam_optax.lcam(0.1), wrt=nnx.Param)
    rng = np.random.default_rng(0)
    seen = []
    for epoch in range(1, EPOCHS + 1):
        order = rng.permutation(NUM_TRAIN)
        for start in range(0, NUM_TRAIN - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            seen.append(train_step(network, optimizer, x[batch], y[batch]))
        error = jnp.mean(network(x[NUM_TRAIN:]).argmax(axis=-1) != y[NUM_TRAIN:])
        phases = np.array(seen)[-(NUM_TRAIN // BATCH) :, 1]
        print(f"epoch {epoch:2}: test error {error:.2%}, low-loss {phases.mean():.0%}")

    loss, phase, average = np.array(seen).T
    steps = np.arange(1, len(seen) + 1)
    for number, name, color in ((1, "low", "#0072B2"), (0, "high", "#D55E00")):
        at = phase == number
        plt.semilogy(steps[at], loss[at], ".", color=color, label=f"{name} loss")
    plt.semilogy(steps, average, color="black", label="running average")
    plt.xlabel("step")
    plt.ylabel("loss (nats)")
    plt.legend()
    plt.savefig("phases.png", dpi=120)
    print("drawn: phases.png")


if __name__ == "__main__":
    main()
