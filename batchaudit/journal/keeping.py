"""What a run may keep: how many bytes, and whether what comes from content is keyed."""

from __future__ import annotations

import os
from typing import NamedTuple

from batchaudit.journal import room
from batchaudit.journal.secrecy import Secrecy


class Keeping(NamedTuple):
    """What a run may keep.

    Attributes:
        max_bytes: how many bytes its files may have, all together; None for no limit.
        secrecy: keys what comes from the batches' content; None to write it as it is.
    """

    max_bytes: int | None = None
    secrecy: Secrecy | None = None

    @classmethod
    def of(cls, max_bytes: int | None, key_file: str | os.PathLike[str] | None) -> Keeping:
        """Checks what a person has asked for.

        Args:
            max_bytes: the limit.
            key_file: where the key lies; None for none.

        Raises:
            UsageError: the limit is too small, or the key cannot be read.
        """
        room.check(max_bytes)
        return cls(max_bytes, None if key_file is None else Secrecy.of_file(key_file))
