"""Opens files that may come from elsewhere, such as those of a run: a name may stand for anything.

Requires nothing. A pipe would be waited for without end, and a device may do something when it is opened;
a link may lead to what whoever made the folder cannot read, but whoever reports it can.
"""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from batchaudit.errors import JournalError

_FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_NOFOLLOW", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)
_LARGE = 1 << 26
_MOST_HOLLOW = 64  # a file system that compresses does not make that much of a log


def open_regular(path: str | os.PathLike[str], *, named: bool = False) -> BinaryIO:
    """Opens a regular file to be read; never waits, and never opens anything else.

    Args:
        path: the file. A link is followed only to a file within the folder in which the link lies.
        named: whether a person has named this very file: then a link may lead anywhere.

    Returns:
        The file, opened at its beginning.

    Raises:
        JournalError: it is no regular file, a link that leads out of its folder, or a hole with little in it,
            which would take for ever to read.
        OSError: the system would not let it be opened.
    """
    real = os.path.realpath(path, strict=True)
    if (
        not named
        and os.path.commonpath([real, folder := os.path.realpath(os.path.dirname(path) or ".")]) != folder
    ):
        raise JournalError("it is a link that leads out of the run's folder")
    # Asked before it is opened, since opening a device may do something, and after, since it may be replaced.
    _refuse(os.lstat(real).st_mode)
    number = os.open(real, _FLAGS)
    try:
        said = os.fstat(number)
        _refuse(said.st_mode)
        if said.st_size > _LARGE and 512 * said.st_blocks < said.st_size // _MOST_HOLLOW:
            raise JournalError(f"nearly all of its {said.st_size:,} bytes are a hole")
        return open(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read_regular(path: str | os.PathLike[str], most: int, *, named: bool = False) -> bytes:
    """Reads a regular file that must not be larger than it can have reason to be.

    Args:
        path: the file, as for `open_regular`.
        most: bytes.
        named: as for `open_regular`.

    Raises:
        JournalError: it is no regular file, leads out of its folder, or is larger.
        OSError: the system would not let it be read.
    """
    with open_regular(path, named=named) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(most + 1) if size <= most else b""
    if size > most or len(data) > most:
        raise JournalError(
            f"it is of {max(size, len(data)):,} bytes, and no such file has more than {most:,}"
        )
    return data


def read_beginning(path: str | os.PathLike[str], most: int) -> bytes:
    """The first bytes of a regular file, as `open_regular` opens it; at most so many.

    Raises:
        JournalError: it is no regular file, or leads out of its folder.
        OSError: the system would not let it be read.
    """
    with open_regular(path) as file:
        return file.read(most)


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _refuse(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        raise JournalError(f"it is {kind}, no file")
