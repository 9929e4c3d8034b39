"""Wide ResNet (Zagoruyko & Komodakis, 2016, https://arxiv.org/abs/1605.07146)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from models.convolution import convolve_for_flax

# The authors' initialisation (py_Figure3_Cifar10.py:104-111): kaiming normal over the
# outputs for convolutions; for the classifier torch's default, uniform in
# +-1/sqrt(inputs), with the bias at zero.
_CONV_INIT = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
_CLASSIFIER_INIT = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")

# torch's BatchNorm: its `momentum=0.1` weighs the new batch, Flax's the old average.
_BATCH_NORM_MOMENTUM = 0.9
_BATCH_NORM_EPSILON = 1e-5


class WideResNet(nnx.Module):
    """WRN-depth-widen: three groups of pre-activation residual blocks.

    Convolutions and normalisations compute in `dtype`; parameters, batch statistics
    and the classifier are float32. In the convolutions padding is explicit, 1 on each
    side as in torch: "SAME" would pad differently at stride 2. Gradients are of
    reverse mode only (`jax.grad`, `jax.vjp`): models/convolution.py says why.

    Args:
      depth: number of convolutions of the main path and the classifier, 6n + 4.
      widen: channels relative to the original ResNet, at least 1.
      num_classes: outputs.
      channels: channels of the images.
      dtype: dtype of the computation; `None` for the parameters' float32.
      rngs: source of the initial weights.

    Raises:
      ValueError: `depth` is not 6n + 4 for an n of at least 1, or `widen` is below 1.
    """

    def __init__(
        self,
        depth: int,
        widen: int,
        num_classes: int,
        *,
        channels: int = 3,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        check_size(depth, widen)
        blocks_per_group = (depth - 4) // 6
        self.stem = _conv(channels, 16, 3, 1, dtype, rngs)
        blocks = []
        features = 16
        for group, stride in enumerate((1, 2, 2)):
            group_features = 16 * widen * 2**group
            for index in range(blocks_per_group):
                block_stride = stride if index == 0 else 1
                blocks.append(
                    _Block(features, group_features, block_stride, dtype, rngs)
                )
                features = group_features
        self.blocks = nnx.List(blocks)
        self.norm = _batch_norm(features, dtype, rngs)
        self.classifier = nnx.Linear(
            features, num_classes, kernel_init=_CLASSIFIER_INIT, rngs=rngs
        )

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Classifies images.

        Args:
          images: [batch, height, width, channels], normalised, of any height and width.
          train: whether to normalise with this batch's statistics, and let the running
            ones follow, or with the running ones.

        Returns:
          float32 [batch, num_classes], logits.
        """
        x = self.stem(images)
        for block in self.blocks:
            x = block(x, train=train)
        x = nnx.relu(self.norm(x, use_running_average=not train))
        # The mean over many pixels, and what follows, deserves float32.
        return self.classifier(jnp.mean(x, axis=(1, 2), dtype=jnp.float32))


class _Block(nnx.Module):
    """Two 3x3 convolutions, each behind normalisation and ReLU, and a shortcut.

    Where the number of channels changes, the shortcut is a 1x1 convolution of the
    activated input; elsewhere it is the input itself.
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        stride: int,
        dtype: DTypeLike | None,
        rngs: nnx.Rngs,
    ):
        self.norm1 = _batch_norm(in_features, dtype, rngs)
        self.conv1 = _conv(in_features, features, 3, stride, dtype, rngs)
        self.norm2 = _batch_norm(features, dtype, rngs)
        self.conv2 = _conv(features, features, 3, 1, dtype, rngs)
        self.project = (
            _conv(in_features, features, 1, stride, dtype, rngs)
            if in_features != features
            else None
        )

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        activated = nnx.relu(self.norm1(x, use_running_average=not train))
        y = self.conv1(activated)
        y = nnx.relu(self.norm2(y, use_running_average=not train))
        shortcut = x if self.project is None else self.project(activated)
        return shortcut + self.conv2(y)


def check_size(depth: int, widen: int) -> None:
    """Refuses sizes that are no Wide ResNet's.

    Raises:
      ValueError: `depth` is not 6n + 4 for an n of at least 1, or `widen` is below 1.
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(
            "the depth of a Wide ResNet must be 6n + 4: 10, 16, 22, 28, 34, 40, ...; "
            f"got {depth}."
        )
    if widen < 1:
        raise ValueError(
            f"the widening of a Wide ResNet must be at least 1, got {widen}."
        )


def _conv(
    in_features: int,
    features: int,
    size: int,
    stride: int,
    dtype: DTypeLike | None,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    return nnx.Conv(
        in_features,
        features,
        (size, size),
        strides=stride,
        padding=size // 2,
        use_bias=False,
        kernel_init=_CONV_INIT,
        conv_general_dilated=convolve_for_flax,
        dtype=dtype,
        promote_dtype=_promote_images,
        rngs=rngs,
    )


def _batch_norm(
    features: int, dtype: DTypeLike | None, rngs: nnx.Rngs
) -> nnx.BatchNorm:
    return nnx.BatchNorm(
        features,
        momentum=_BATCH_NORM_MOMENTUM,
        epsilon=_BATCH_NORM_EPSILON,
        dtype=dtype,
        promote_dtype=_promote_images,
        rngs=rngs,
    )


def _promote_images(
    arrays: tuple[jax.Array, ...], *, dtype: DTypeLike | None
) -> tuple[jax.Array, ...]:
    """Rounds the images to the dtype, and no weights or statistics, as Flax would.

    Gradients of rounded weights are rounded too, and their sums over a batch with them.
    """
    images, *weights = arrays
    return images if dtype is None else images.astype(dtype), *weights
