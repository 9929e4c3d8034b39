"""What PyTorch's users would run instead: the authors' loop, and a tuned one.

Needs torch, and torchvision for the authors' transforms.
"""

import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.nn import functional

from benchmarks.flops import matrix_rate
from train.engine.device_data import IMAGENET_MEAN, IMAGENET_STD

PADDING = 4  # pixels, of which a crop is taken


class WideResNet(nn.Module):
    """The authors' network, with their names of the arrays."""

    def __init__(self, depth: int, widen: int, num_classes: int):
        super().__init__()
        widths = [16, 16 * widen, 32 * widen, 64 * widen]
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        for group in (1, 2, 3):
            blocks = [
                _Block(
                    widths[group if index else group - 1],
                    widths[group],
                    stride=2 if group > 1 and index == 0 else 1,
                )
                for index in range((depth - 4) // 6)
            ]
            holder = nn.Module()
            holder.layer = nn.Sequential(*blocks)
            setattr(self, f"block{group}", holder)
        self.bn1 = nn.BatchNorm2d(widths[3])
        self.fc = nn.Linear(widths[3], num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images [batch, 3, height, width]."""
        x = self.conv1(images)
        for group in (self.block1, self.block2, self.block3):
            x = group.layer(x)
        x = functional.relu(self.bn1(x), inplace=True)
        return self.fc(x.mean((2, 3)))


class _Block(nn.Module):
    def __init__(self, in_features: int, features: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_features)
        self.conv1 = nn.Conv2d(
            in_features, features, 3, stride=stride, padding=1, bias=False
        )
        self.bn2 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.convShortcut = (
            nn.Conv2d(in_features, features, 1, stride=stride, bias=False)
            if in_features != features
            else None
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        activated = functional.relu(self.bn1(x), inplace=True)
        y = functional.relu(self.bn2(self.conv1(activated)), inplace=True)
        shortcut = x if self.convShortcut is None else self.convShortcut(activated)
        return shortcut + self.conv2(y)


def make_network(
    depth: int, widen: int, num_classes: int, weights: Mapping[str, np.ndarray]
) -> WideResNet:
    """The network with given weights, under the names of `models.save_torch`."""
    network = WideResNet(depth, widen, num_classes)
    arrays = {name: torch.tensor(array) for name, array in weights.items()}
    counts = {
        name: buffer
        for name, buffer in network.state_dict().items()
        if name.endswith("num_batches_tracked")
    }
    network.load_state_dict(arrays | counts)
    return network


def logits(network: WideResNet, images: np.ndarray) -> np.ndarray:
    """Logits of float32 images [batch, height, width, 3], in evaluation, on the CPU."""
    with torch.no_grad():
        return network.eval()(torch.tensor(images.transpose(0, 3, 1, 2))).numpy()


def device() -> torch.device:
    """A GPU if PyTorch sees one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class _Images(torch.utils.data.Dataset):
    """Pictures and labels through the authors' transforms."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        transforms = torchvision.transforms
        self._images, self._labels = images, labels
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(images.shape[1], padding=PADDING),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = Image.fromarray(self._images[index])
        return self._transform(image), int(self._labels[index])


def authors_batches(
    images: np.ndarray, labels: np.ndarray, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of the authors' loader, epoch after epoch, made in this process.

    Whole ones only, unlike theirs, as the other sides' are.
    """
    loader = torch.utils.data.DataLoader(
        _Images(images, labels), batch_size=batch_size, shuffle=True, drop_last=True
    )
    while True:
        yield from loader


class AuthorsLoop:
    """The loop of py_Figure3_Cifar10.py, but for its printing.

    Batches from the host, float32, and the loss fetched at every step, which decides
    the momentum of the next.
    """

    def __init__(
        self,
        network: WideResNet,
        images: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
    ):
        self._network = network.to(device()).train()
        self._batches = authors_batches(images, labels, batch_size)
        self._optimizer = torch.optim.SGD(
            self._network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4
        )
        self._sum, self._count = 0.0, 0

    def run(self, steps: int) -> None:
        """Takes training steps."""
        for _ in range(steps):
            images, labels = (x.to(device()) for x in next(self._batches))
            self._optimizer.zero_grad()
            loss = functional.cross_entropy(self._network(images), labels)
            loss.backward()
            self._optimizer.step()
            self._sum += loss.item()
            self._count += 1
            is_low = loss.item() < self._sum / self._count
            self._optimizer.param_groups[0]["momentum"] = 0.95 if is_low else 0.9


class TunedLoop:
    """The fastest loop that a user of PyTorch would write, with a fixed momentum.

    Pictures on the device, augmented there a batch at a time, channels last, autocast
    to bfloat16 where that is the `fast_dtype`, `torch.compile`, a fused optimizer. It
    never waits for a loss, and so could not choose a momentum by it.
    """

    def __init__(
        self,
        network: WideResNet,
        images: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        *,
        mode: str = "default",
    ):
        place = device()
        self._network = network.to(place, memory_format=torch.channels_last).train()
        padding = ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0))
        self._images = torch.tensor(np.pad(images, padding), device=place)
        self._labels = torch.tensor(labels, device=place, dtype=torch.int64)
        for tensor in (self._images, self._labels):
            # Else CUDA graphs, of some modes, copy all images at every step.
            torch._dynamo.mark_static_address(tensor)
        self._side = images.shape[1]
        self._batch_size = batch_size
        self._is_mixed = fast_dtype() == "bfloat16"
        self._mean = torch.tensor(IMAGENET_MEAN, device=place)
        self._std = torch.tensor(IMAGENET_STD, device=place)
        self._optimizer = torch.optim.SGD(
            self._network.parameters(),
            lr=0.1,
            momentum=0.9,
            weight_decay=5e-4,
            fused=True,
        )
        self._loss = torch.compile(self._loss_of, mode=mode)
        self._order = torch.empty(0, dtype=torch.int64, device=place)

    def _loss_of(self, rows: torch.Tensor, corners: torch.Tensor, flips: torch.Tensor):
        pixels = torch.arange(self._side, device=rows.device)
        across = torch.where(flips[:, None], pixels.flip(0), pixels)
        images = self._images[
            rows[:, None, None],
            (corners[0, :, None] + pixels)[:, :, None],
            (corners[1, :, None] + across)[:, None, :],
        ]
        inputs = (images.float() / 255 - self._mean) / self._std
        place = rows.device.type
        with torch.autocast(place, torch.bfloat16, enabled=self._is_mixed):
            # A view of what lies in memory channels last.
            outputs = self._network(inputs.permute(0, 3, 1, 2))
        return functional.cross_entropy(outputs.float(), self._labels[rows])

    def run(self, steps: int) -> None:
        """Takes training steps; waits for the device once, at the end."""
        place, size = self._images.device, self._batch_size
        losses = []
        for _ in range(steps):
            if len(self._order) < size:
                self._order = torch.randperm(len(self._images), device=place)
            rows, self._order = self._order[:size], self._order[size:]
            corners = torch.randint(2 * PADDING + 1, (2, size), device=place)
            flips = torch.rand(size, device=place) < 0.5
            self._optimizer.zero_grad(set_to_none=True)
            loss = self._loss(rows, corners, flips)
            loss.backward()
            self._optimizer.step()
            losses.append(loss.detach().clone())
        torch.stack(losses).cpu()


def make_product(dtype: str, size: int) -> Callable[[], None]:
    """As `benchmarks.flops.make_product`, by PyTorch."""
    kind = getattr(torch, dtype)
    a, b = (torch.randn(size, size, device=device()).to(kind) for _ in range(2))

    def product() -> None:
        a @ b
        _wait()

    return product


def fast_dtype() -> str:
    """Where PyTorch's products are faster: in float32, or in bfloat16.

    A CPU without instructions for bfloat16 may take a hundred times as long in it.
    """
    rate = functools.partial(matrix_rate, make_product)
    return max(("float32", "bfloat16"), key=rate)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class SgdStep:
    """`torch.optim.SGD` as the authors make it, on parameters of given shapes.

    Args:
      shapes: of the parameters.
      fused: whether to ask for its fused form, which PyTorch's users must.
    """

    def __init__(self, shapes: list[tuple[int, ...]], *, fused: bool = False):
        place = device()
        self._parameters = [
            nn.Parameter(torch.ones(shape, device=place)) for shape in shapes
        ]
        for parameter in self._parameters:
            parameter.grad = torch.full_like(parameter, 1e-6)
        self._optimizer = torch.optim.SGD(
            self._parameters,
            lr=0.1,
            momentum=0.9,
            weight_decay=5e-4,
            fused=True if fused else None,  # False would leave out the default's own
        )

    def run(self, steps: int) -> None:
        """Takes steps and waits for the device."""
        for _ in range(steps):
            self._optimizer.step()
        _wait()
