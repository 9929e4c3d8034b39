"""What older versions of JAX call by another name."""

import jax

if hasattr(jax, "enable_x64"):
    enable_x64 = jax.enable_x64
else:
    from jax.experimental import enable_x64  # noqa: F401


def vary(tree, axis_name):
    """Tells `shard_map` that each device has its own copy: `jax.lax.pcast`."""
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(tree, axis_name, to="varying")
    return jax.lax.pvary(tree, axis_name)
