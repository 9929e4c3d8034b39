"""A network of your own, for the program: a small convolutional network.

    python -m examples.own_network                     # tries it
    python -m train run --network examples/own_network.py:make
    python -m train compare --network examples/own_network.py:make --seeds 0 1 2
    python -m train study ablation --quick --network examples/own_network.py:make

The program calls `make` with the shape of an example and the number of classes. It
calls the network as `network(inputs, train=...)`.
"""

import jax
import jax.numpy as jnp
from flax import nnx


class Network(nnx.Module):
    """Two convolutions, a mean over the pixels, and dropout before the classifier."""

    def __init__(self, channels, num_classes, *, rngs):
        self.conv1 = nnx.Conv(channels, 32, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(32, rngs=rngs)
        self.conv2 = nnx.Conv(32, 64, (3, 3), strides=2, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.classifier = nnx.Linear(64, num_classes, rngs=rngs)

    def __call__(self, images, *, train):
        x = self.norm(self.conv1(images), use_running_average=not train)
        x = nnx.relu(self.conv2(nnx.relu(x)))
        x = self.dropout(jnp.mean(x, axis=(1, 2)), deterministic=not train)
        return self.classifier(x)  # logits, [batch, classes]


def make(input_shape, num_outputs, *, rngs):
    _, _, channels = input_shape
    return Network(channels, num_outputs, rngs=rngs)


def main():
    network = make((8, 8, 1), 10, rngs=nnx.Rngs(0))
    logits = network(jnp.zeros((2, 8, 8, 1)), train=False)
    weights = jax.tree.leaves(nnx.state(network, nnx.Param))
    number = sum(array.size for array in weights)
    print(f"{number:,} parameters; logits of two images: {logits.shape}")


if __name__ == "__main__":
    main()
