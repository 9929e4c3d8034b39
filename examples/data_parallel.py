"""A batch shared by all devices: two ways, with the same losses.

    python -m examples.data_parallel
    XLA_FLAGS=--xla_force_host_platform_device_count=4 python -m examples.data_parallel

With `jit`, arrays are split among the devices. The loss is that of the whole batch.
With `shard_map`, each device has a loss of its own. LCAM averages them by `axis_name`.
It prints the losses of both, step by step, and how far their weights are apart.
"""

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import lcam_optax

MESH = jax.make_mesh((jax.device_count(),), ("data",), (AxisType.Auto,))
WHOLE, SPLIT = PartitionSpec(), PartitionSpec("data")


def loss_fn(params, x, y):
    return jnp.mean((jnp.tanh(x @ params["in"]) @ params["out"] - y) ** 2)


by_jit = lcam_optax.lcam(0.05)


@jax.jit
def jit_step(params, opt_state, x, y):
    loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
    updates, opt_state = by_jit.update(grads, opt_state, params, value=loss)
    return optax.apply_updates(params, updates), opt_state, loss


by_shard_map = lcam_optax.lcam(0.05, axis_name="data")


@jax.jit
@jax.shard_map(mesh=MESH, in_specs=(WHOLE, WHOLE, SPLIT, SPLIT), out_specs=WHOLE)
def shard_map_step(params, opt_state, x, y):
    # Each device has weights of its own: else JAX would sum their gradients by itself.
    own_params = jax.lax.pcast(params, "data", to="varying")
    loss, grads = jax.value_and_grad(loss_fn)(own_params, x, y)
    grads = jax.lax.pmean(grads, "data")
    updates, opt_state = by_shard_map.update(grads, opt_state, params, value=loss)
    return optax.apply_updates(params, updates), opt_state, jax.lax.pmean(loss, "data")


def main():
    keys = jax.random.split(jax.random.key(0), 10)
    params = {
        "in": jax.random.normal(keys[0], (8, 16)) / 3,
        "out": jax.random.normal(keys[1], (16, 1)) / 4,
    }
    params = jax.device_put(params, NamedSharding(MESH, WHOLE))
    ours, theirs = (params, by_jit.init(params)), (params, by_shard_map.init(params))
    print(f"{jax.device_count()} devices")
    for step, key in enumerate(keys[2:], start=1):
        x = jax.random.normal(key, (8 * jax.device_count(), 8))
        batch = x, jnp.sin(x[:, :1])
        batch = jax.device_put(batch, NamedSharding(MESH, SPLIT))
        *ours, loss = jit_step(*ours, *batch)
        *theirs, same_loss = shard_map_step(*theirs, *batch)
        print(f"step {step}: {loss:.6f} with jit, {same_loss:.6f} with shard_map")
    apart = optax.tree.norm(optax.tree.sub(ours[0], theirs[0]))
    print(f"The weights are {apart:.1e} apart.")


if __name__ == "__main__":
    main()
