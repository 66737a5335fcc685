"""Reads the file that a key for keyed digests is made of. Without NumPy: a supervisor checks it, too."""

from __future__ import annotations

import os
from hashlib import blake2b

from batchaudit.errors import UsageError

LEAST = 16
"""Bytes that a key file must have: a shorter one could itself be guessed."""
MOST = 1 << 20


def read(path: str | os.PathLike[str]) -> bytes:
    """Reads a key.

    Args:
        path: a file of at least 16 random bytes, as `head -c 32 /dev/urandom > FILE` makes.

    Returns:
        32 bytes.

    Raises:
        UsageError: it cannot be read, or has too few bytes.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MOST)
    except OSError as error:
        raise UsageError(f"the key file {os.fspath(path)!r} cannot be read: {error.strerror}.") from None
    if len(content) < LEAST:
        raise UsageError(
            f"the key file {os.fspath(path)!r} has {len(content)} bytes: at least {LEAST} random ones "
            f"are needed, such as 'head -c 32 /dev/urandom' gives."
        )
    return blake2b(content, digest_size=32, person=b"batchaudit key").digest()
