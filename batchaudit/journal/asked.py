"""What was asked of the runs whose log has been read, as far as the manifests tell. Requires pandas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from batchaudit.journal import manifest as manifests
from batchaudit.journal.manifest import Manifest
from batchaudit.journal.reader import Log


def asked_of(
    log: Log, folders: Iterable[Path], mode: str = "tolerant"
) -> tuple[Log, dict[tuple[int, int], Manifest]]:
    """Reads the manifests beside a log.

    Args:
        log: the log.
        folders: where it lies.
        mode: "strict" refuses a folder in which one cannot be read.

    Returns:
        The log, whose health counts the manifests that cannot be read; the others, by attempt and rank.

    Raises:
        JournalError: one cannot be read, and the mode is strict.
    """
    asked: dict[tuple[int, int], Manifest] = {}
    unreadable: dict[str, str] = {}
    for folder in folders:
        found = manifests.read(folder, mode)
        asked |= found.of
        unreadable |= found.unreadable
    if unreadable:
        health = log.health
        log = replace(
            log,
            health=replace(
                health,
                files_unreadable=(*health.files_unreadable, *unreadable),
                why_unreadable=(*health.why_unreadable, *unreadable.values()),
            ),
        )
    return log, asked
