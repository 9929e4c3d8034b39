"""Images of one's own in folders: PATH/train/CLASS/* and PATH/test/CLASS/*."""

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from train import notes
from train.data.dataset import Dataset
from train.errors import InputError
from train.paths import cache_folder
from train.settings.cli import listing
from train.settings.options import Data

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
TESTS = ("test", "val", "valid", "validation")
_LAYOUT = "Images are expected as PATH/train/CLASS/* and PATH/test/CLASS/*."


def load_folder(root: Path, config: Data) -> Dataset:
    """Reads the images; they are kept as an array for the next start."""
    if not root.is_dir():
        raise InputError(f"there is no folder {root}. {_LAYOUT}")
    train, test = _classes(root, ("train",)), _classes(root, TESTS)
    if alone := sorted(test.keys() - train.keys()):
        raise InputError(f"{root}: {alone[0]} has test images only. {_LAYOUT}")
    if len(train) < 2:
        raise InputError(f"{root} has one class: two or more are expected.")
    parts = [
        [(path, k) for k, name in enumerate(train) for path in part.get(name, ())]
        for part in (train, test)
    ]
    paths = [path for part in parts for path, _ in part]
    labels = np.array([label for part in parts for _, label in part], np.int32)
    images, is_read = _read(root, paths, config)
    labels, end = labels[is_read], int(is_read[: len(parts[0])].sum())
    return Dataset(
        images[:end], labels[:end], images[end:], labels[end:], len(train), tuple(train)
    )


def _classes(root: Path, names: Sequence[str]) -> dict[str, list[Path]]:
    """By class, the images in the first folder of these names that is there."""
    folder = next((root / each for each in names if (root / each).is_dir()), None)
    if folder is None:
        there = listing(sorted(each.name for each in root.iterdir())[:5], "and")
        what = "Keep some images of each class out of training, and move them there."
        raise InputError(
            f"{root} has no folder {listing(names)}, but {there or 'nothing'}. "
            f"{_LAYOUT} {what if names is TESTS else ''}".rstrip()
        )
    found = {
        each.name: sorted(x for x in each.rglob("*") if x.suffix.lower() in ENDINGS)
        for each in sorted(folder.iterdir())
        if each.is_dir()
    }
    empty = [name for name, paths in found.items() if not paths]
    if empty or not found:
        raise InputError(
            f"{folder / empty[0] if empty else folder} has no image: "
            f"{listing(ENDINGS)} are read. {_LAYOUT}"
        )
    return found


def _read(
    root: Path, paths: Sequence[Path], config: Data
) -> tuple[np.ndarray, np.ndarray]:
    """All images, uint8 [size, height, width, channels], and which could be read."""
    stats = [(str(path.relative_to(root)), path.stat()) for path in paths]
    facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    key = hashlib.sha256(repr((facts, config.image_size)).encode()).hexdigest()[:32]
    kept = cache_folder("images") / f"{key}.npz"
    try:
        with np.load(kept) as file:
            images, reasons = file["images"], file["reasons"]
    except (OSError, ValueError, KeyError):
        images, reasons = _decoded(root, paths, config.image_size)
        with contextlib.suppress(OSError):  # it can be read again
            kept.parent.mkdir(parents=True, exist_ok=True)
            new = kept.with_name(f"{key}.{os.getpid()}.npz")
            np.savez(new, images=images, reasons=reasons)
            new.replace(kept)
    bad = np.flatnonzero(reasons != "")
    if bad.size:
        first = f"{paths[bad[0]]}: {reasons[bad[0]]}"
        if not config.skip_unreadable:
            raise InputError(
                f"cannot read {bad.size:,} of {len(paths):,} images: {first}. Move "
                "them away, or leave them out with --skip-unreadable."
            )
        notes.say(
            f"warning: unreadable images are left out, {bad.size:,} in all: {first}"
        )
    return images, reasons == ""


def _decoded(
    root: Path, paths: Sequence[Path], size: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The images that can be read, and for each path why it cannot, or nothing."""
    arrays, reasons = [], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lets the others work
        for number, found in enumerate(pool.map(partial(_decode, size=size), paths)):
            if number % 100 == 0:
                notes.doing(f"reading images: {number:,} of {len(paths):,}")
            is_read = not isinstance(found, str)
            arrays += [found] * is_read
            reasons.append("" if is_read else found)
    return _stacked(root, arrays), np.array(reasons, str)


def _decode(path: Path, size: int | None) -> np.ndarray | str:
    """An image, uint8 [height, width, 1 or 3]; or why it cannot be read."""
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)  # as a camera was held
            if image.mode.startswith("I"):  # 16 bits
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.has_transparency_data:  # upon white
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image)
            image = image.convert("L" if image.mode in ("1", "L") else "RGB")
            if size is not None:
                image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
            return np.atleast_3d(np.asarray(image))
    except Exception as error:  # Pillow raises all kinds
        return " ".join(str(error).split())[:200] or type(error).__name__


def _stacked(root: Path, arrays: list[np.ndarray]) -> np.ndarray:
    """One array of images of one size: grey ones, or with three channels."""
    sizes = Counter(array.shape[:2] for array in arrays)
    if len(sizes) > 1:
        (low, high), common = (min(sizes), max(sizes)), sizes.most_common(1)[0][0]
        raise InputError(
            f"the images in {root} are of {len(sizes)} sizes, from {low[1]} x {low[0]} "
            f"to {high[1]} x {high[0]} pixels: give --image-size N, such as "
            f"{min(64, *common)}. The shorter side is scaled to N, and the middle is "
            "cut out."
        )
    channels = max((array.shape[2] for array in arrays), default=1)
    full = [np.broadcast_to(array, (*array.shape[:2], channels)) for array in arrays]
    return np.stack(full) if full else np.empty((0, 1, 1, 1), np.uint8)
