"""Makes what a log holds of a batch's content unlinkable for who has no key.

A digest tells nobody what was hashed, but anybody can hash what they guess: of a tiny sample, such as a label
or an age, all possible contents. With a key each digest, id and state goes through a keyed BLAKE2b (RFC 7693)
before it is written. What was equal stays equal under the same key; nothing else can be told without it.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Any

import numpy as np

from batchaudit.journal import key_file
from batchaudit.journal.layout import Event

Array = np.ndarray[Any, Any]

_WORD = np.dtype("<u8")


class Secrecy:
    """Keyed digests in place of those that anybody could compute.

    Args:
        key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.name = blake2b(b"name", key=key, digest_size=8).hexdigest()
        """Tells keys apart, and nothing of them: the header of each file has it."""

    @classmethod
    def of_file(cls, path: str | os.PathLike[str]) -> Secrecy:
        """Reads a key.

        Args:
            path: a file of at least 16 random bytes, as `head -c 32 /dev/urandom > FILE` makes.

        Raises:
            UsageError: it cannot be read, or has too few bytes.
        """
        return cls(key_file.read(path))

    def hide(self, event: Event) -> Event:
        """The event with all that comes from content or from random states keyed.

        Zero stands for what is not known and stays zero.
        """
        high, low = self._pair(event.digest_hi, event.digest_lo)
        samples, ids = event.samples, event.ids
        return event._replace(
            digest_hi=high,
            digest_lo=low,
            streams_before=tuple(map(self._state, event.streams_before)),
            streams_after=tuple(map(self._state, event.streams_after)),
            framework_seed=self._state(event.framework_seed & (2**64 - 1)),
            samples=None if samples is None else self._words(samples.astype(_WORD), b"sample"),
            # Signed and unsigned ids of equal numbers are the same item.
            ids=None if ids is None else self._words(ids.astype("<i8").view(_WORD), b"id"),
        )

    def _pair(self, high: int, low: int) -> tuple[int, int]:
        if not high and not low:
            return 0, 0
        both = high.to_bytes(8, "little") + low.to_bytes(8, "little")
        keyed = blake2b(both, key=self._key, digest_size=16, person=b"batch").digest()
        return int.from_bytes(keyed[:8], "little"), int.from_bytes(keyed[8:], "little")

    def _state(self, state: int) -> int:
        if not state:
            return 0
        keyed = blake2b(state.to_bytes(8, "little"), key=self._key, digest_size=8, person=b"state")
        return int.from_bytes(keyed.digest(), "little") or 1

    def _words(self, words: Array, person: bytes) -> Array:
        key = self._key
        raw = words.tobytes()
        keyed = b"".join(
            blake2b(raw[at : at + 8], key=key, digest_size=8, person=person).digest()
            for at in range(0, len(raw), 8)
        )
        return np.frombuffer(keyed, _WORD)
