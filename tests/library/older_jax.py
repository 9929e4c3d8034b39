"""What older versions of JAX call by another name."""

import jax
import jax.experimental

# Since jax 0.8 without "experimental".
enable_x64 = getattr(jax, "enable_x64", None) or jax.experimental.enable_x64
