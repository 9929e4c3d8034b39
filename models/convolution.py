"""A convolution whose gradients are fast on a CPU, and not rounded in bfloat16."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
from flax import nnx
from jax.lax import conv_general_dilated, padtype_to_pads

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def speed_up(network: nnx.Module) -> None:
    """Lets the convolutions of a network have the gradients that are fast on a CPU."""
    for _, module in nnx.iter_modules(network):
        is_usual = getattr(module, "conv_general_dilated", 0) is conv_general_dilated
        if is_usual and isinstance(module, nnx.Conv):
            module.conv_general_dilated = convolve_for_flax


def convolve_for_flax(
    images: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **options: Any,
) -> jax.Array:
    """`convolve`, as `nnx.Conv` calls it; JAX's own for what `convolve` cannot do."""
    usual = {"lhs_dilation": (1, 1), "rhs_dilation": (1, 1), "feature_group_count": 1}
    is_plain = len(set(strides)) == 1 and not any(
        option != usual.get(name)
        for name, option in options.items()
        if name != "dimension_numbers"
    )
    if images.ndim != 4 or not is_plain:
        return conv_general_dilated(images, kernel, strides, padding, **options)
    if isinstance(padding, str):
        sizes = images.shape[1:3], kernel.shape[:2]
        padding = padtype_to_pads(*sizes, strides, padding)
    return convolve(images, kernel, strides[0], tuple(map(tuple, padding)))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(
    images: jax.Array,
    kernel: jax.Array,
    stride: int,
    padding: tuple[tuple[int, int], tuple[int, int]],
) -> jax.Array:
    """Convolves as `jax.lax.conv_general_dilated`, with gradients of its own.

    Autodiff writes the gradients as convolutions of permuted dimensions. XLA brings
    those into the one layout that its fast CPU code knows, but not inside the body of
    a loop, where they run tens of times slower
    (https://github.com/jax-ml/jax/issues/12868). On a CPU the permutations are explicit
    transposes here, and the gradients equal autodiff's.

    Args:
      images: [batch, height, width, channels].
      kernel: [size, size, channels, features]. It is rounded to the images' dtype, but
        not its gradient: devices would add rounded parts of it.
      stride: of both axes, at least 1.
      padding: pixels before and after, of each axis.

    Returns:
      [batch, new height, new width, features], of the images' dtype.
    """
    kernel = kernel.astype(images.dtype)
    return conv_general_dilated(
        images, kernel, (stride, stride), padding, dimension_numbers=_LAYOUT
    )


def _convolve_permuted(
    arrays: tuple[jax.Array, jax.Array],
    padding: Sequence[tuple[int, int]],
    layout: tuple[str, str, str],
    **options: Any,
) -> jax.Array:
    """Convolves arrays of a layout: an accelerator knows all of them, a CPU one."""
    convolve = partial(conv_general_dilated, window_strides=(1, 1), padding=padding)
    if jax.default_backend() != "cpu":
        return convolve(*arrays, dimension_numbers=layout, **options)
    images, kernel = (
        array.transpose([own.index(axis) for axis in usual])
        for array, own, usual in zip(arrays, layout, _LAYOUT, strict=False)
    )
    outputs = convolve(images, kernel, dimension_numbers=_LAYOUT, **options)
    return outputs.transpose([_LAYOUT[2].index(axis) for axis in layout[2]])


def _forward(
    images: jax.Array, kernel: jax.Array, stride: int, padding: Any
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolve(images, kernel, stride, padding), (images, kernel)


def _backward(
    stride: int,
    padding: Sequence[tuple[int, int]],
    saved: tuple[jax.Array, jax.Array],
    grads: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    images, kernel = saved
    # What the strides leave over of the padded images, on the far side.
    rests = [
        images.shape[axis]
        + sum(padding[axis - 1])
        - kernel.shape[axis - 1]
        - (grads.shape[axis] - 1) * stride
        for axis in (1, 2)
    ]
    image_grads = _convolve_permuted(
        (grads, kernel.astype(grads.dtype)[::-1, ::-1]),
        [
            (size - 1 - before, size - 1 - after + rest)
            for size, (before, after), rest in zip(
                kernel.shape[:2], padding, rests, strict=True
            )
        ],
        ("NHWC", "HWOI", "NHWC"),
        lhs_dilation=(stride, stride),
    )
    # With results in float32 a GPU would convolve float32 images.
    dtype = images.dtype if jax.default_backend() == "gpu" else kernel.dtype
    kernel_grads = _convolve_permuted(
        (images, grads),
        [
            (before, after - rest)
            for (before, after), rest in zip(padding, rests, strict=True)
        ],
        ("CHWN", "IHWO", "HWNC"),
        rhs_dilation=(stride, stride),
        preferred_element_type=dtype,
    )
    return image_grads, kernel_grads.astype(kernel.dtype)


convolve.defvjp(_forward, _backward)
