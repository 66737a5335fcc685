"""Several ranks, one after the other, in this process: what a launcher says is all that tells them apart."""

from __future__ import annotations

import batchaudit as ba
from batchaudit import auditing


def trained(folder, monkeypatch, make, world=2, *, epochs=3, key=None, name="train", steps=None):
    """The report of a live training of `world` ranks.

    Args:
        folder: for the log.
        monkeypatch: pytest's, for the launcher's variables.
        make: given rank and world, returns the rank's source.
        world: how many ranks there are.
        epochs: how often each goes over its source.
        key: of `Audit.wrap`.
        name: of the source.
        steps: after how many batches each pass ends; None for its end.
    """
    for rank in range(world):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        with ba.Audit(folder) as audit:
            source = audit.wrap(make(rank, world), name=name, key=key)
            for epoch in range(epochs):
                sampler = getattr(source, "sampler", None)
                if hasattr(sampler, "set_epoch"):
                    sampler.set_epoch(epoch)
                for step, _batch in enumerate(source, 1):
                    if step == steps:
                        break
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("WORLD_SIZE")
    return auditing.report(folder)


def across(report):
    """The causes found between the ranks that are worse than info, and the verdicts by cause."""
    causes = {finding.cause for finding in report.across if finding.severity != "info"}
    return causes, {one.cause: one for one in report.across_verdicts}


def the(report, cause):
    """The one finding of a cause between the ranks."""
    [finding] = [finding for finding in report.across if finding.cause == cause]
    return finding
