"""LCAM in plain NumPy and float64, slow and literal: what the fast one is held to."""

import numpy as np


def authors_loop(gradients, losses, *, steps_per_epoch, low, high, weight_decay=0.0):
    """SGD driven by the authors' script, line by line (py_Figure3_Cifar10.py:289-312).

    Linear problem: the gradient of a step is given, and does not depend on the
    weights but through the weight decay that `torch.optim.SGD` adds.

    Returns:
      Per step: the weights after it, the momentum it used, and the loss average.
    """
    learning_rate = 0.1
    momentum = high  # optim.SGD(..., momentum=momentumvalue)
    weights, buffer = np.zeros_like(gradients[0]), None
    rows = []
    for step, (gradient, loss) in enumerate(zip(gradients, losses, strict=True)):
        i = step % steps_per_epoch
        if i == 0:
            running_loss = 0.0
        # optimizer.step()
        gradient = gradient + weight_decay * weights
        buffer = gradient if buffer is None else momentum * buffer + gradient
        weights = weights - learning_rate * buffer
        used = momentum
        # running_loss += loss.item(); lossaverage = running_loss / (i + 1)
        running_loss += loss
        average = running_loss / (i + 1)
        momentum = low if loss < average else high
        rows.append((weights, used, average))
    return [np.array(column) for column in zip(*rows, strict=True)]


def ema_averages(losses, decay):
    """The bias-corrected EMA, from its definition as a weighted mean."""
    averages = []
    for t in range(1, len(losses) + 1):
        weights = float(decay) ** np.arange(t - 1, -1, -1)
        averages.append(np.sum(weights * losses[:t]) / np.sum(weights))
    return np.array(averages)


def epoch_averages(losses, steps_per_epoch):
    """The mean of the epoch so far, from its definition."""
    return np.array(
        [
            np.mean(losses[t - t % steps_per_epoch : t + 1], dtype=np.float64)
            for t in range(len(losses))
        ]
    )


def phase_after(loss, average, previous, margin):
    """The phase, or None where rounding may decide: too close to an edge to tell."""
    band = margin * abs(average)
    edges = (average - band, average + band)
    size = max(abs(loss), abs(average))
    if any(abs(loss - edge) <= 1e-5 * size for edge in edges):
        return None
    if loss < edges[0]:
        return 1
    return 0 if loss >= edges[1] else previous
