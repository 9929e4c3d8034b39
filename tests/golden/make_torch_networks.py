"""Makes torch_networks.npz: the authors' network and training loop in torch.

    python tests/golden/make_torch_networks.py PATH/py_Figure3_Cifar10.py

Needs torch (2.13.0 made the committed file) and the authors' script, of
https://github.com/hakumaicc/Asymmetric-Momentum-LCAM (commit acb3cff): its network
classes are taken from there as they are. Weights and images come from a seed
(seeded.py) and are not stored; gradients are, as projections.
"""

import ast
import copy
import pathlib
import sys

import numpy as np
import seeded
import torch

# Depth, widening, classes.
NETWORKS = {
    "WRN-28-10": (28, 10, 100),
    "WRN-16-4": (16, 4, 10),
    "WRN-10-1": (10, 1, 10),
}
BATCH_SIZE = 4
STEPS, STEP_BATCH_SIZE, STEPS_PER_EPOCH = 20, 64, 10
LOW_LOSS_MOMENTUM, HIGH_LOSS_MOMENTUM = 0.95, 0.9
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def authors_network(script: pathlib.Path) -> type[torch.nn.Module]:
    """Returns the class WideResNet of the authors' script, which is not run."""
    tree = ast.parse(script.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    names = {"nn": torch.nn, "F": torch.nn.functional, "torch": torch}
    exec(compile(tree, str(script), "exec"), names)
    return names["WideResNet"]


def seeded_network(network_class: type, depth: int, widen: int, num_classes: int):
    """Returns the network with its weights from the seed."""
    network = network_class(depth, num_classes, widen, dropRate=0.0)
    state = network.state_dict()
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    }
    arrays = seeded.weights(shapes)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
    return network


def one_pass(network: torch.nn.Module, num_classes: int) -> dict[str, np.ndarray]:
    """Returns float32 logits and running statistics, and float64 gradients.

    In float32 a few of ten million ReLUs fall on the other side of zero, which moves
    WRN-28-10's gradients by 0.2 %: more than the rounding of what is compared.
    """
    images, labels = map(torch.from_numpy, seeded.batch(BATCH_SIZE, num_classes))
    network.eval()
    rows = {"eval logits": network(images).detach().numpy()}
    precise = copy.deepcopy(network).double().train()
    torch.nn.functional.cross_entropy(precise(images.double()), labels).backward()
    for name, parameter in precise.named_parameters():
        rows[f"gradient {name}"] = seeded.projections(name, parameter.grad.numpy())
    network.train()
    rows["train logits"] = network(images).detach().numpy()
    for name, buffer in network.named_buffers():
        if not name.endswith("num_batches_tracked"):
            rows[f"after {name}"] = seeded.projections(name, buffer.numpy())
    return rows


def training(network: torch.nn.Module, num_classes: int) -> dict[str, np.ndarray]:
    """Trains by the authors' rule: losses, momenta, and the kernels' final norms."""
    images, labels = seeded.data_set(STEP_BATCH_SIZE * STEPS_PER_EPOCH, num_classes)
    pixels = (images / 255 - np.array(MEAN)) / np.array(STD)
    inputs = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))
    targets = torch.from_numpy(labels)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.1, momentum=HIGH_LOSS_MOMENTUM, weight_decay=5e-4
    )
    network.train()
    rows = {"loss": [], "momentum": []}
    for step in range(STEPS):
        i = step % STEPS_PER_EPOCH
        if i == 0:
            running_loss = 0.0
        batch = slice(i * STEP_BATCH_SIZE, (i + 1) * STEP_BATCH_SIZE)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(inputs[batch]), targets[batch])
        loss.backward()
        rows["momentum"].append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        running_loss += loss.item()
        is_low = loss.item() < running_loss / (i + 1)
        optimizer.param_groups[0]["momentum"] = (
            LOW_LOSS_MOMENTUM if is_low else HIGH_LOSS_MOMENTUM
        )
        rows["loss"].append(loss.item())
    arrays = {f"training {name}": np.array(column) for name, column in rows.items()}
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            arrays[f"trained norm of {name}"] = np.array(parameter.norm().item())
    return arrays


def main() -> None:
    """Writes the file beside this script."""
    network_class = authors_network(pathlib.Path(sys.argv[1]))
    arrays = {"torch": np.array(torch.__version__)}
    for name, (depth, widen, num_classes) in NETWORKS.items():
        network = seeded_network(network_class, depth, widen, num_classes)
        rows = one_pass(network, num_classes)
        arrays |= {f"{name}: {key}": row for key, row in rows.items()}
        print(name, "logits", rows["train logits"][0, :3])
    depth, widen, num_classes = NETWORKS["WRN-10-1"]
    rows = training(
        seeded_network(network_class, depth, widen, num_classes), num_classes
    )
    print(np.round(rows["training loss"], 3), rows["training momentum"])
    path = pathlib.Path(__file__).with_name("torch_networks.npz")
    np.savez_compressed(path, **arrays, **rows)
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
