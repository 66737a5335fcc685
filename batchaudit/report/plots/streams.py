"""Random states over the steps, one lane a worker: equal states, equal colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from batchaudit.errors import UsageError
from batchaudit.report.plots import marks
from batchaudit.report.plots.lanes import left_out
from batchaudit.report.plots.style import GREY, axes_of, bare, below, run_name, title, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from batchaudit.report.model import Report, Run

_PREFIX = "rng_"
_NAMES = {
    "numpy": "NumPy's global stream",
    "python": "Python's random",
    "torch": "torch's stream",
    "tensorflow": "TensorFlow's stream",
    "private": "a stream that the source holds",
}


def draw(report: Report, run: Run, ax: Axes | Figure | None) -> Axes:
    """Draws the states from which batches were made; of several streams, the one that repeats most.

    Raises:
        UsageError: no random stream is known to have moved.
    """
    emitted = report.emitted_of(run)
    # A stream that only another run of the report moved has a column, and nothing in it.
    names = [name for name in emitted.columns if name.startswith(_PREFIX) and emitted[name].notna().all()]
    known = {name: _shared(emitted, name) for name in names} if len(emitted) else {}
    if not known:
        raise UsageError(f"no random stream moved while {run.strategy} made batches: there are none to draw.")
    name = max(known, key=lambda one: float(known[one].mean()))
    shared = known[name]
    axes = axes_of(ax, marks.height(int(emitted["lane"].max()) + 1))
    marks.draw(axes, emitted.assign(delivered=True), name, shared)
    bare(axes)
    stream = _NAMES.get(name.removeprefix(_PREFIX), name.removeprefix(_PREFIX))
    said = f"{run_name(run)}: the state of {stream} before each batch"
    title(axes, said, _threads(report, run), left_out(emitted))
    unknown = (emitted[name] == "").to_numpy(bool)
    once = bool((~shared & ~unknown).any())
    below(axes, _legend(bool(shared.any()), once, bool(unknown.any())), labels=2)
    return axes


def _shared(emitted: pd.DataFrame, name: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which batches began from a state that another worker, or another epoch, began from as well."""
    owner = pd.factorize(emitted["lane"] + emitted["epoch"] * (int(emitted["lane"].max()) + 1))[0]
    state = pd.factorize(emitted[name])[0]
    owners = pd.DataFrame({"state": state, "owner": owner}).groupby("state")["owner"].transform("nunique")
    known = (emitted[name] != "").to_numpy(bool)
    shared: np.ndarray[tuple[int], np.dtype[np.bool_]] = (owners.to_numpy() > 1) & known
    return shared


def _threads(report: Report, run: Run) -> str:
    """Why a state cannot be laid to one worker, where it cannot."""
    notes = report.epochs_of(run)["seed_divergence_note"].dropna().astype(str)
    return next((words(note) for note in notes if "threads" in note), "")


def _legend(several: bool, once: bool, unknown: bool) -> list[Any]:
    from matplotlib.patches import Patch

    shown = [
        Patch(
            color=GREY,
            label="tall: another worker or epoch began from this state; equal colours are equal states",
        )
    ]
    if once:
        shown.append(Patch(color=GREY, label="thin: a state of its own"))
    if unknown:
        shown.append(Patch(color=GREY, label="grey: not known"))
    return shown if several else shown[1:]
