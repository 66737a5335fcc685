"""`Audit`: watches sources inside a program of the user's own, which drives them as it always did."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from batchaudit import consumers
from batchaudit.capture.provenance import place
from batchaudit.errors import UsageError
from batchaudit.journal.keeping import Keeping
from batchaudit.journal.manifest import Manifest
from batchaudit.watching import Watched

if TYPE_CHECKING:
    from batchaudit.capture.ids import Key
    from batchaudit.report.model import Report

S = TypeVar("S")


class Audit:
    """Logs what watched sources produce, and what of it reaches the model, into one run's folder.

    Example::

        with ba.Audit("runs/today") as audit:
            model.fit(audit.wrap(train), validation_data=audit.wrap(val, name="val"))
        print(audit.report())

    Args:
        folder: the run's folder; made if it is not there. A folder that holds a run gets its next attempt.
        everything: whether to watch whatever the program gives to Keras, tf_keras, PyTorch or tf.data while
            the audit is open, as `batchaudit run` does; then nothing need be wrapped.
        max_bytes: how many bytes the run's files may have, all together, from 65,536 on; None for no limit.
            At the limit logging stops, with one warning, and the training goes on.
        key_file: a file of at least 16 random bytes, with which all that comes from the batches' content is
            keyed: without it nobody can tell what was hashed by guessing. By default it is written as it is.

    Raises:
        UsageError: the folder cannot be made, the limit is too small, or the key cannot be read.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        everything: bool = False,
        max_bytes: int | None = None,
        key_file: str | os.PathLike[str] | None = None,
    ) -> None:
        keeping = Keeping.of(max_bytes, key_file)
        rank = place().rank
        try:
            # The program may go to another folder, or remove the one that it is in.
            self._folder = Path(folder).absolute()
            self._folder.mkdir(parents=True, exist_ok=True)
            self._attempt = Manifest(0, "", kind="live", rank=rank).claim(self._folder).attempt
        except OSError as error:
            raise UsageError(
                f"the folder {os.fspath(folder)} cannot be written: {error.strerror or error}."
            ) from None
        self._watched = Watched(self._folder, self._attempt, everything=everything, keeping=keeping)
        consumers.begin(self._watched)

    @property
    def attempt(self) -> int:
        """Which start of the run this is; what `auditing.report(attempt=)` takes."""
        return self._attempt

    def wrap(
        self,
        source: S,
        *,
        name: str | None = None,
        key: Key | None = None,
        split: str | None = None,
        steps_per_epoch: int | None = None,
    ) -> S:
        """Makes a watched source of the user's: the same type, length, attributes, hooks and picklability.

        Args:
            source: what is given to `fit`, to a `Trainer` or to the loop over batches: a generator, iterator
                or iterable, a `PyDataset` or `Sequence`, a `tf.data.Dataset`, a torch `DataLoader`, a
                Hugging Face, webdataset or grain dataset, a `LightningDataModule`, or the arrays (x, y).
            name: what to call it in the report; by default the name of its type.
            key: given a batch, returns one id a sample: which stored item it came from.
            split: "training" or "validation": a sample that is in both is reported. By default what the name
                says, and "training" where it says nothing.
            steps_per_epoch: batches of an epoch, for an endless source in a loop of the user's own.

        Returns:
            The watched source, to be used in place of `source`. A source that is watched already is returned
            as it is.

        Raises:
            UsageError: it is no source of batches, another source has that name, or the audit is closed.
        """
        watched: S = self._watched.wrap(
            source, name=name, key=key, split=split, steps_per_epoch=steps_per_epoch
        )
        return watched

    def report(self) -> Report:
        """Reads what has been logged so far, by all attempts, and diagnoses it.

        Returns:
            The report.

        Raises:
            JournalError: nothing has been logged.
        """
        from batchaudit.reporting import build

        return build(self._folder)

    def callback(self, framework: str | None = None, *, on_finding: str = "warn") -> Any:
        """Makes a callback that brings the audit into the framework's own logs, once an epoch.

        At the end of each epoch it logs four plain floats of what the training sources delivered in it:
        `audit/effective_ratio` (different batches over batches), `audit/duplicate_fraction` (the share of the
        samples that repeat an earlier one of the epoch; of the batches where samples are not known),
        `audit/seed_divergence`, and `audit/seconds_waited` (for batches). Of several training sources it
        takes the worst; waiting adds up. The keys are always the same. What is not known is NaN: also where
        nothing is watched, or the audit is closed, and of copies where part of the log is lost.

        It is called at the ends of epochs only, never for a batch. Another process then reads and analyses
        the log, and the training waits for it: about a second after the first epoch, and longer as the log
        grows. In all that costs a minute and a twentieth of the training's time at most: epochs beyond it
        are left out (NaN). A log of more than 256 MiB is not read, and an answer is given up after a minute;
        one warning says so.

        In Keras, put it first: a `CSVLogger` or `TensorBoard` before it sees nothing of it (`History` always
        does). In Lightning it logs from rank zero, with `rank_zero_only`.

        Args:
            framework: "keras" (Keras 3, tf_keras) or "lightning"; by default the one that is imported.
            on_finding: "warn" warns once of each finding, as `BatchauditWarning`, at the end of the first
                epoch that shows it; "raise" stops the training with `FindingError` at the end of the first
                epoch that shows an error, and warns of what is less; "ignore" only logs. Validation is
                judged too, but not in the figures. What is of severity "info" is left to the report.

        Returns:
            An instance of `keras.callbacks.Callback`, or of Lightning's `Callback`.

        Raises:
            UsageError: a value that is not known; no framework is imported yet; Keras and Lightning both are
                and none is named.
        """
        from batchaudit.callbacks import make

        return make(self._folder, self._attempt, framework, on_finding)

    def close(self) -> None:
        """Ends this process' log files. The watched sources go on, unwatched."""
        consumers.end(self._watched)
        self._watched.close()

    def __enter__(self) -> Audit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
