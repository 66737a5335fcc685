"""What both rules about races say of what was torn: `race_of_threads`, `race_of_processes`."""

from __future__ import annotations

import pandas as pd

from batchaudit.analysis import races
from batchaudit.analysis.evidence import Evidence
from batchaudit.diagnosis.judgement import short

CAUSE = "shared-state-race"


def in_probes(evidence: Evidence) -> dict[str, races.Wrong]:
    """What several workers made in probes."""
    several = {
        name: races.against_serial(probed, evidence.baseline)
        for name, probed in evidence.probes.items()
        if probed.produced["worker"].nunique() > 1
    }
    return {name: wrong for name, wrong in several.items() if wrong is not None and wrong.fixed}


def example(rows: pd.DataFrame, what: str) -> str:
    """The first of some batches, and who made it.

    Args:
        rows: produced batches, at least one.
        what: what is said of it.
    """
    row = rows.iloc[0]
    who = f"worker {int(row['worker'])} at its step {int(row['local_step'])}"
    return f"batch {short(int(row['digest_hi']))} of {who} {what}"


def of_item(row: pd.Series, unit: str) -> str:
    """An item that holds something else than it should, and who made it.

    Args:
        row: of `races.Wrong.wrong`.
        unit: what an item is: "batch" or "sample".
    """
    held = "what another one holds" if row["elsewhere"] else "what no serial pass has"
    return (
        f"worker {int(row['worker'])} at its step {int(row['local_step'])} made {unit} {int(row['item'])} "
        f"with content {short(int(row['content']))}, {held}"
    )
