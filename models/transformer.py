"""A small causal transformer (Radford et al., 2019: normalisation comes first)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

_EMBEDDING_INIT = nnx.initializers.normal(0.02)


class Transformer(nnx.Module):
    """Predicts each next token of a text; no dropout.

    Computes in `dtype`; parameters, normalisations' statistics and logits are float32.

    Args:
      vocabulary: number of tokens, at least 1.
      length: longest text, at least 1.
      width: features of a token, a multiple of `heads`.
      layers: at least 1.
      heads: of the attention, at least 1.
      dtype: dtype of the computation; `None` for the parameters' float32.
      rngs: source of the initial weights.

    Raises:
      ValueError: a size is below 1, or `width` is no multiple of `heads`.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        sizes = (vocabulary, length, width, layers, heads)
        if min(sizes) < 1:
            raise ValueError(
                "vocabulary, length, width, layers and heads must be at least 1, got "
                f"{sizes}."
            )
        if width % heads:
            raise ValueError(
                f"the width must be a multiple of the heads, got {width} and {heads}."
            )
        self.tokens = nnx.Embed(
            vocabulary, width, embedding_init=_EMBEDDING_INIT, dtype=dtype, rngs=rngs
        )
        self.positions = nnx.Embed(
            length, width, embedding_init=_EMBEDDING_INIT, dtype=dtype, rngs=rngs
        )
        self.blocks = nnx.List(_Block(width, heads, dtype, rngs) for _ in range(layers))
        self.norm = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)
        self.output = nnx.Linear(width, vocabulary, rngs=rngs)

    def __call__(self, tokens: jax.Array, *, train: bool) -> jax.Array:
        """Scores every next token.

        Args:
          tokens: int32 [batch, length], from 0 to `vocabulary - 1`.
          train: nothing here depends on it.

        Returns:
          float32 [batch, length, vocabulary], logits of the token after each; they
          depend on that token and those before it only.
        """
        del train
        x = self.tokens(tokens)
        x = x + jnp.broadcast_to(self.positions(jnp.arange(tokens.shape[1])), x.shape)
        mask = nnx.make_causal_mask(tokens)
        for block in self.blocks:
            x = block(x, mask)
        return self.output(self.norm(x).astype(jnp.float32))


class _Block(nnx.Module):
    """Attention, then two fully connected layers, each added to its input."""

    def __init__(self, width: int, heads: int, dtype: DTypeLike | None, rngs: nnx.Rngs):
        self.norm1 = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(
            heads, width, dtype=dtype, decode=False, rngs=rngs
        )
        self.norm2 = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)
        self.expand = nnx.Linear(width, 4 * width, dtype=dtype, rngs=rngs)
        self.contract = nnx.Linear(4 * width, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        x = x + self.attention(self.norm1(x), mask=mask)
        return x + self.contract(nnx.gelu(self.expand(self.norm2(x))))
