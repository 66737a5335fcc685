"""What a keyed log (`key_file=`) does not tell: equal things are equal under one key, and that is all.

Keyed ids have no order and are no numbers of items; what was hidden by different keys cannot be compared.
"""

from __future__ import annotations

from collections.abc import Iterable

NO_ORDER = "the log is keyed, and keyed ids have no order"
APART = (
    "the logs were written with different keys, so that what is equal does not look equal: use one key file"
)


def apart(several: Iterable[frozenset[str]]) -> bool:
    """Whether what is to be compared was hidden by different keys, or only some of it was.

    Args:
        several: the names of the keys of each; "" for none.
    """
    return len({name for keys in several for name in keys}) > 1
