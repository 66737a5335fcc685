"""Real images on disk: scikit-learn's handwritten digits as PNG files, one folder a class.

Requires scikit-learn and Pillow.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

MOST_IMAGES = 1797  # so many digits scikit-learn brings
STORED_SIZE = 96  # pixels of a side in the files
BATCH_SIZE = 32
IMAGE_SIZE = 32  # pixels of a side in a batch

Batch = tuple[np.ndarray, np.ndarray]
"""Images, float32 in 0..1, shape (n, 32, 32, 1), and labels, int64, shape (n,)."""


def write_images(folder: str | os.PathLike[str], count: int = 1024) -> Path:
    """Writes the first digits into a folder, enlarged from their 8 by 8 pixels; no two files are equal.

    Args:
        folder: where to; made where it is missing. Files of the same names are replaced.
        count: how many digits.

    Returns:
        The folder.

    Raises:
        ValueError: there are not so many digits.
        OSError: the folder cannot be written.
    """
    from sklearn.datasets import load_digits

    if not 1 <= count <= MOST_IMAGES:
        raise ValueError(f"count={count}: scikit-learn has {MOST_IMAGES:,} digits")
    root = Path(folder)
    digits = load_digits()
    pixels = (digits.images[:count] * (255 / 16)).astype(np.uint8)
    for number, (image, label) in enumerate(zip(pixels, digits.target[:count], strict=True)):
        path = root / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        enlarged = Image.fromarray(image).resize((STORED_SIZE, STORED_SIZE), Image.Resampling.BICUBIC)
        enlarged.save(path)
    return root


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files of a folder, class by class, in an order that does not depend on the file system."""
    return sorted(Path(folder).glob("*/*.png"))


def read_batch(files: Sequence[Path]) -> Batch:
    """Decodes some files into a batch.

    Args:
        files: as `image_files` gives them.

    Returns:
        The batch: images and labels, the names of the files' folders.
    """
    images = np.empty((len(files), IMAGE_SIZE, IMAGE_SIZE, 1), np.float32)
    for position, path in enumerate(files):
        with Image.open(path) as image:
            small = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
        images[position, :, :, 0] = np.asarray(small, np.float32) / 255
    return images, np.array([int(path.parent.name) for path in files], np.int64)
