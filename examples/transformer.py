"""A small language model, trained with LCAM and gradient accumulation.

    python -m examples.transformer

The script makes its text: sums, such as "37+58=95". The model learns to write what is
behind the equals sign. It prints loss and low-loss steps, and at the end some answers.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import lcam_optax
from models import Transformer

ALPHABET = "0123456789+=\n"
PARTS, PART = 2, 64  # micro-batches of a step, and the sums in each
STEPS = 1000


def make_sums(rng, number):
    """Sums as tokens, int32 [number, 9]: two digits, two digits, three digits."""
    pairs = rng.integers(0, 100, (number, 2))
    texts = [f"{a:02}+{b:02}={(a + b):03}"[:9] for a, b in pairs]
    return np.array([[ALPHABET.index(c) for c in text] for text in texts], np.int32)


def loss_fn(params, texts):
    """Cross-entropy of the answer's three digits."""
    network = nnx.merge(graph, params)
    logits = network(texts[:, :-1], train=True)[:, -3:]
    cross_entropy = optax.losses.softmax_cross_entropy_with_integer_labels
    return cross_entropy(logits, texts[:, -3:]).mean()


# LCAM compares the loss of the whole batch: the mean over its parts.
value_and_grad = optax.microbatching.microbatch(
    jax.value_and_grad(loss_fn),
    argnums=1,
    microbatch_size=PART,
    accumulator=optax.microbatching.AccumulationType.MEAN,
)
optimizer = optax.chain(
    optax.clip_by_global_norm(1.0),
    lcam_optax.lcam(optax.warmup_cosine_decay_schedule(0, 0.1, 100, STEPS)),
)
graph, params = nnx.split(
    Transformer(len(ALPHABET), 8, width=64, layers=2, heads=4, rngs=nnx.Rngs(0))
)


@jax.jit
def train_step(params, opt_state, texts):
    loss, grads = value_and_grad(params, texts)
    updates, opt_state = optimizer.update(grads, opt_state, params, value=loss)
    phase = optax.tree.get(opt_state, "phase")
    return optax.apply_updates(params, updates), opt_state, loss, phase


@jax.jit
def answer(params, texts):
    """Writes the last three digits, one after another."""
    for place in (6, 7, 8):
        logits = nnx.merge(graph, params)(texts[:, :-1], train=False)
        texts = texts.at[:, place].set(logits[:, place - 1].argmax(axis=-1))
    return texts


def main():
    rng = np.random.default_rng(0)
    weights, opt_state, seen = params, optimizer.init(params), []
    for step in range(1, STEPS + 1):
        texts = make_sums(rng, PARTS * PART)
        weights, opt_state, loss, phase = train_step(weights, opt_state, texts)
        seen.append((loss, phase))
        if step % 200 == 0:
            mean_loss, share = np.mean(seen[-200:], axis=0)
            print(f"step {step}: loss {mean_loss:.3f} nats, low-loss {share:.0%}")
    texts = make_sums(rng, 1000)
    written = np.array(answer(weights, jnp.array(texts).at[:, 6:].set(0)))
    print(f"{np.mean((written == texts).all(axis=1)):.0%} of 1,000 sums are right:")
    for row in written[:5]:
        print("".join(ALPHABET[token] for token in row))


if __name__ == "__main__":
    main()
