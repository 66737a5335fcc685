"""What there is to be measured: one file each subject, whose `lines(effort)` yields the table's lines."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.lines import Line, not_measured
from benchmarks.measure import Effort, missing


class Subject(NamedTuple):
    """A subject of the table.

    Attributes:
        module: its file.
        about: what it measures, in a line.
        needs: modules without which nothing of it can be measured.
    """

    module: str
    about: str
    needs: tuple[str, ...] = ()


SUBJECTS = {
    "fingerprint": Subject("fingerprint", "digests of a batch and its samples"),
    "threads": Subject("threads", "hashing beside a busy Python thread"),
    "look": Subject("look", "the whole wrapper around the making of a batch"),
    "streams": Subject("streams", "the state of all random streams", ("torch", "tensorflow")),
    "journal": Subject("journal", "writing and loading records"),
    "keras-digits": Subject("end_to_end.keras_digits", "Keras 3: fit on digits", ("keras", "sklearn")),
    "keras-images": Subject("end_to_end.keras_images", "Keras 3: fit on 32x96x96x3", ("keras",)),
    "torch-training": Subject("end_to_end.torch_training", "torch: 2 workers, training", ("torch",)),
    "torch-iteration": Subject("end_to_end.torch_iteration", "torch: 2 workers, only iterating", ("torch",)),
    "tf-data": Subject("end_to_end.tf_data", "Keras 3: fit on a tf.data pipeline", ("tensorflow", "keras")),
    "report": Subject("report", "a report of up to 10^6 records; 10^7 with --full"),
    "start-up": Subject("start_up", "import batchaudit, batchaudit --help"),
}
"""By the name that `--only` takes, in the order of the table."""


def measured(name: str, effort: Effort) -> Iterator[Line]:
    """The lines of a subject, each as soon as it is known.

    Args:
        name: one of `SUBJECTS`.
        effort: how much time it may take.
    """
    subject = SUBJECTS[name]
    absent = missing(*subject.needs)
    if absent:
        yield not_measured(subject.about, absent)
        return
    yield from importlib.import_module(f"benchmarks.{subject.module}").lines(effort)
