"""Images of one's own in folders: PATH/CLASS/*, or below PATH/train and PATH/test."""

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from train import notes
from train.data.dataset import Dataset, Examples, keep_fifth
from train.errors import InputError
from train.paths import cache_folder
from train.settings.cli import listing
from train.settings.options import Data

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
TESTS = ("test", "val", "valid", "validation")
_LAYOUT = "Images are expected as PATH/CLASS/*, or so in PATH/train and PATH/test."


def load_folder(root: Path, config: Data) -> Dataset:
    """Reads the images; they are kept as an array for the next start."""
    train_folder, test_folder = folder_of(root, ("train",)), folder_of(root, TESTS)
    if test_folder is not None and train_folder is None:
        raise InputError(f"{root} has a folder {test_folder.name} only. {_LAYOUT}")
    train = _classes(train_folder or root)
    test = {} if test_folder is None else _classes(test_folder)
    if alone := sorted(test.keys() - train.keys()):
        raise InputError(f"{root}: {alone[0]} has test images only. {_LAYOUT}")
    if len(train) < 2:
        raise InputError(f"{root} has one class, {next(iter(train))}. {_LAYOUT}")
    classes = {name: paths + test.get(name, []) for name, paths in train.items()}
    size = None if config.image_size is None else (config.image_size,) * 2
    read = _read(root, classes, (size, None), skip=config.skip_unreadable)
    images, labels, names, files, *_ = read
    if test_folder is None:
        kinds = [names[label] for label in labels]
        first, last = keep_fifth(kinds, str(root), "image", "Add some images of it")
    else:
        last = np.array([file.startswith(f"{test_folder.name}/") for file in files])
        first = ~last
    parts = images[first], labels[first], images[last], labels[last]
    return Dataset(*parts, len(names), names, test_files=tuple(np.array(files)[last]))


def load_images(root: Path, size: tuple[int, int], channels: int) -> Examples:
    """Other images, scaled and cut; of no class where they lie in the folder itself."""
    folder = folder_of(root, (*TESTS, "train")) or root
    found = _images(folder)
    is_plain = any(path.parent == folder for path in found)
    classes = {"": found} if is_plain else _classes(folder)
    read = _read(root, classes, (size, "L" if channels == 1 else "RGB"), skip=True)
    return read._replace(targets=None, class_names=()) if is_plain else read


def folder_of(root: Path, names: Sequence[str]) -> Path | None:
    """The first folder of these names that is there."""
    if not root.is_dir():
        what = f"{root} is a file" if root.exists() else f"there is no folder {root}"
        raise InputError(f"{what}: name the folder that the images are in. {_LAYOUT}")
    return next((root / each for each in names if (root / each).is_dir()), None)


def _images(folder: Path) -> list[Path]:
    """All images below a folder, but for hidden ones."""
    found = (x for x in folder.rglob("*") if x.suffix.lower() in ENDINGS)
    return sorted(x for x in found if "/." not in f"/{x.relative_to(folder)}")


def _classes(folder: Path) -> dict[str, list[Path]]:
    """By class, its images."""
    names = sorted(x.name for x in folder.glob("[!.]*") if x.is_dir())
    found = {name: _images(folder / name) for name in names}
    empty = [folder / name for name, paths in found.items() if not paths]
    if empty or not found:
        what = f"{empty[0]} has no image" if empty else f"{folder} has no class folders"
        raise InputError(f"{what}: {listing(ENDINGS)} are read. {_LAYOUT}")
    return found


def _read(
    root: Path, classes: Mapping[str, list[Path]], form: tuple, *, skip: bool
) -> Examples:
    """All images that can be read, uint8 [size, height, width, channels]."""
    pairs = [(path, k) for k, paths in enumerate(classes.values()) for path in paths]
    paths, labels = [path for path, _ in pairs], np.array([k for _, k in pairs])
    files = [path.relative_to(root).as_posix() for path in paths]
    stats = [(path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    key = hashlib.sha256(repr((files, stats, form)).encode()).hexdigest()[:32]
    kept = cache_folder("images") / f"{key}.npz"
    try:
        with np.load(kept) as file:
            images, reasons = file["images"], file["reasons"]
    except (OSError, ValueError, KeyError):
        images, reasons = _decoded(root, paths, form)
        with contextlib.suppress(OSError):  # it can be read again
            kept.parent.mkdir(parents=True, exist_ok=True)
            new = kept.with_name(f"{key}.{os.getpid()}.npz")
            np.savez(new, images=images, reasons=reasons)
            new.replace(kept)
    is_read = reasons == ""
    if number := len(paths) - int(is_read.sum()):
        some = [f"{files[k]}: {reasons[k]}" for k in np.flatnonzero(~is_read)]
        told = "; ".join(some[:3] + ["..."] * (number > 3))
        if not skip or number == len(paths):
            raise InputError(
                f"cannot read {number:,} of {len(paths):,} images in {root}: {told}. "
                "Move them away; or --skip-unreadable of `run` leaves them out."
            )
        number = f"{number:,} of {len(paths):,} images"
        notes.say(f"warning: left out {number}, which cannot be read: {told}")
    files = [file for file, good in zip(files, is_read, strict=True) if good]
    labels = labels[is_read].astype(np.int32)
    return Examples(images, labels, tuple(classes), tuple(files))


def _decoded(
    root: Path, paths: Sequence[Path], form: tuple
) -> tuple[np.ndarray, np.ndarray]:
    """The images that can be read, and for each path why it cannot, or nothing."""
    arrays, reasons = [], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lets the others work
        for number, found in enumerate(pool.map(partial(_decode, form), paths)):
            if number % 100 == 0:
                notes.doing(f"reading images: {number:,} of {len(paths):,}")
            is_read = not isinstance(found, str)
            arrays += [found] * is_read
            reasons.append("" if is_read else found)
    return _stacked(root, arrays), np.array(reasons, str)


def _decode(form: tuple, path: Path) -> np.ndarray | str:
    """An image, uint8 [height, width, 1 or 3]; or why it cannot be read."""
    size, mode = form  # width and height, and a mode of Pillow's; None as they are
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)  # as a camera was held
            if image.mode.startswith("I"):  # 16 bits
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.has_transparency_data:  # upon white
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image)
            image = image.convert(mode or ("L" if image.mode in ("1", "L") else "RGB"))
            if size is not None:
                image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
            return np.atleast_3d(np.asarray(image))
    except Exception as error:  # Pillow raises all kinds
        reason = str(error).replace(f" {str(path)!r}", "")
        return " ".join(reason.split())[:200] or type(error).__name__


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
