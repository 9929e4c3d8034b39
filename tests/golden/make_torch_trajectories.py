"""Makes torch_trajectories.npz: torch.optim.SGD driven by the authors' rule.

    python tests/golden/make_torch_trajectories.py

Needs torch (2.13.0 made the committed file); the tests that read the file do not. The
loop is the authors' (https://github.com/hakumaicc/Asymmetric-Momentum-LCAM,
py_Figure3_Cifar10.py:289-312): the momentum is set after `optimizer.step()`, from the
running mean of the epoch's losses, this one included. The problem is a linear
classifier of noisy classes: small enough to be followed to the last digits, and real
enough for losses that depend on the weights.
"""

import json
import pathlib

import numpy as np
import torch

NUM_EXAMPLES, NUM_FEATURES, NUM_CLASSES = 160, 6, 3
NUM_EPOCHS = 12

CONFIGS = {
    # Coefficients below / not below the average, as the figures name them.
    "fixed": {"low": 0.9, "high": 0.9},
    "0.95/0.9": {"low": 0.95, "high": 0.9},
    "0.9/0.95": {"low": 0.9, "high": 0.95},
    "0.93/0.9": {"low": 0.93, "high": 0.9},
    "0.95/0.9 weight decay": {"low": 0.95, "high": 0.9, "weight_decay": 5e-4},
    "0.93/0.9 nesterov": {"low": 0.93, "high": 0.9, "nesterov": True},
    "0.95/0.9 milestones": {"low": 0.95, "high": 0.9, "milestones": [4, 9]},
    "0.9/0.95 all": {
        "low": 0.9,
        "high": 0.95,
        "weight_decay": 5e-2,
        "nesterov": True,
        "milestones": [6],
    },
    "0.5/0.99 noisy": {"low": 0.5, "high": 0.99, "batch_size": 2},
}
DEFAULTS = {
    "learning_rate": 0.05,
    "weight_decay": 0.0,
    "nesterov": False,
    "milestones": [],  # epochs completed before the learning rate is multiplied by 0.2
    "batch_size": 8,
}


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Returns features, float32 [examples, features], and labels, int64 [examples]."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(NUM_CLASSES, NUM_FEATURES))
    labels = rng.integers(0, NUM_CLASSES, NUM_EXAMPLES)
    features = centres[labels] + rng.normal(size=(NUM_EXAMPLES, NUM_FEATURES))
    return features.astype(np.float32), labels


def trajectory(config: dict, features: np.ndarray, labels: np.ndarray) -> dict:
    """Trains, and returns each step's loss, momentum and weights after it."""
    weights = torch.nn.Parameter(torch.zeros(NUM_FEATURES, NUM_CLASSES))
    learning_rate = config["learning_rate"]
    optimizer = torch.optim.SGD(
        [weights],
        lr=learning_rate,
        momentum=config["high"],
        weight_decay=config["weight_decay"],
        nesterov=config["nesterov"],
    )
    inputs, targets = torch.from_numpy(features), torch.from_numpy(labels)
    steps_per_epoch = NUM_EXAMPLES // config["batch_size"]
    rows = {"loss": [], "momentum": [], "weights": []}
    for epoch in range(NUM_EPOCHS):
        running_loss = 0.0
        for i in range(steps_per_epoch):
            batch = slice(i * config["batch_size"], (i + 1) * config["batch_size"])
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(
                inputs[batch] @ weights, targets[batch]
            )
            loss.backward()
            rows["momentum"].append(optimizer.param_groups[0]["momentum"])
            optimizer.step()
            running_loss += loss.item()
            average = running_loss / (i + 1)
            is_low = loss.item() < average
            optimizer.param_groups[0]["momentum"] = config["low" if is_low else "high"]
            rows["loss"].append(loss.item())
            rows["weights"].append(weights.detach().numpy().copy())
        if epoch + 1 in config["milestones"]:
            learning_rate *= 0.2
            optimizer.param_groups[0]["lr"] = learning_rate
    return {name: np.array(column, np.float32) for name, column in rows.items()}


def main() -> None:
    """Writes the file beside this script."""
    features, labels = problem()
    arrays = {"features": features, "labels": labels}
    configs = {name: DEFAULTS | config for name, config in CONFIGS.items()}
    for name, config in configs.items():
        rows = trajectory(config, features, labels)
        # Losses and momenta of every step; weights of every tenth keep the file small.
        rows["weights"] = rows["weights"][9::10]
        arrays |= {f"{name}: {column}": rows[column] for column in rows}
        share = np.mean(rows["momentum"] == np.float32(config["low"]))
        print(f"{name}: {len(rows['loss'])} steps, {share:.0%} low-loss momentum")
    arrays["configs"] = np.array(json.dumps({"torch": torch.__version__} | configs))
    np.savez_compressed(
        pathlib.Path(__file__).with_name("torch_trajectories.npz"), **arrays
    )


if __name__ == "__main__":
    main()
