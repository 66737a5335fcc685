"""Does an `ImageDataGenerator` get faster with threads, with processes, by how much, and why?

    python -m benchmarks.image_data_generator [tf_keras-32] [tf_keras-128] [keras-32] [keras-128]

scikit-learn's digits, written as PNG files, are read, shifted and zoomed. For each framework and size of
picture it prints

- where the time of a batch goes, and which part of it two threads can do at once;
- what `batchaudit.audit` measures, and what it advises;
- what an epoch of `fit` takes, from end to end, with no batchaudit in it.

The answer, with what this printed, is in `docs/explanation/image-data-generator.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: it talks at length

import numpy as np

import batchaudit as ba
from batchaudit.timing import cores, pair, together

CASES = ("tf_keras-32", "tf_keras-128", "keras-32", "keras-128")
WORKERS = ((0, False), (2, False), (4, False), (2, True), (4, True))
"""How many, and whether they are processes; none first, for the others are compared with it."""
IN_FITS = ((0, False), (2, False), (2, True))
BATCH = 32
EPOCHS = 2
"""Of each way of `fit`; the first is not counted."""


class Case:
    """One framework's generator over pictures of one size."""

    def __init__(self, name: str, folder: Path) -> None:
        self.framework, _, side = name.partition("-")
        self.side, self.folder = int(side), folder
        if self.framework == "tf_keras":
            import tf_keras as keras
            from tf_keras.preprocessing import image as images
        else:
            import keras
            from keras._tf_keras.keras.preprocessing import image as images  # all that tf.keras still shows
        self.keras, self.images = keras, images
        self.colours = "rgb" if self.side > 32 else "grayscale"
        self.generator = images.ImageDataGenerator(
            width_shift_range=0.1, height_shift_range=0.1, zoom_range=0.2, rescale=1 / 255
        )

    def batches(self) -> Any:
        """What `fit` is given."""
        return self.generator.flow_from_directory(
            str(self.folder),
            target_size=(self.side, self.side),
            color_mode=self.colours,
            batch_size=BATCH,
            class_mode="sparse",
        )

    def model(self) -> Any:
        """As little as can be trained: what is timed is the data."""
        layers = self.keras.layers
        shape = (self.side, self.side, 3 if self.colours == "rgb" else 1)
        model = self.keras.Sequential(
            [layers.Input(shape), layers.GlobalAveragePooling2D(), layers.Dense(10, "softmax")]
        )
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model


def quiet() -> Any:
    """Around all that makes sources: each says how many pictures it found."""
    return contextlib.redirect_stdout(io.StringIO())


def write_pictures(folder: Path) -> None:
    """1,797 PNG files of 8x8, in a folder for each digit."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = folder / str(digit) / f"{number:04}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray((pixels * 15.9).astype(np.uint8)).save(path)


# -- where the time of a batch goes ---------------------------------------------------------------


def parts(case: Case) -> None:
    with quiet():
        read, warp = _reader(case), _warper(case)
    pictures = read()
    steps: dict[str, Callable[[], Any]] = {
        "open, decode and resize the files": read,
        "draw the shifts and zooms": lambda: [case.generator.get_random_transform(x.shape) for x in pictures],
        "move the pixels (apply_transform)": lambda: [warp(x) for x in pictures],
        "scale them (standardize)": lambda: [case.generator.standardize(x) for x in pictures],
    }
    took = {name: _milliseconds(step) for name, step in steps.items()}
    print(f"\n{'a batch of ' + str(BATCH):<36}{'ms':>8}{'share':>8}{'two threads make':>20}")
    for name, step in steps.items():
        share, factor = took[name] / sum(took.values()), _two_threads(step)
        print(f"  {name:<34}{took[name]:>8.1f}{share:>8.0%}{factor:>18.1f} x")


def _reader(case: Case) -> Callable[[], Any]:
    paths, size = case.batches().filepaths[:BATCH], (case.side, case.side)
    load, to_array = case.images.load_img, case.images.img_to_array
    return lambda: [to_array(load(path, color_mode=case.colours, target_size=size)) for path in paths]


def _warper(case: Case) -> Callable[[Any], Any]:
    shape = (case.side, case.side, 3 if case.colours == "rgb" else 1)
    drawn = case.generator.get_random_transform(shape, seed=1)
    return lambda picture: case.generator.apply_transform(picture, drawn)


def _milliseconds(step: Callable[[], Any]) -> float:
    taken = []
    for _ in range(15):
        began = time.perf_counter()
        step()
        taken.append((time.perf_counter() - began) * 1e3)
    return statistics.median(taken)


def _two_threads(step: Callable[[], Any]) -> float:
    def again() -> Iterator[Any]:
        while True:
            yield step()

    return statistics.median(together(again, 1.0))


# -- an epoch of fit ------------------------------------------------------------------------------


def fits(case: Case) -> None:
    with quiet():
        timed = {way: _Clock.of(case, *way) for way in IN_FITS}
    none = timed[IN_FITS[0]]
    print(f"\n{'seconds of fit':<18}{'batches':>10}{'between':>10}{'an epoch':>10}{'over none':>12}")
    for way, clock in timed.items():
        figures = f"{clock.steady:>10.2f}{clock.gap:>10.2f}{clock.epoch:>10.2f}"
        print(f"  {_name(*way):<16}{figures}{none.epoch / clock.epoch:>10.2f} x")


class _Clock:
    """Times epochs of `fit`, from the end of one to the end of the next.

    Attributes:
        batches: seconds from an epoch's first batch to its last one.
        between: seconds from an epoch's last batch to the next one's first: new workers are in it.
    """

    def __init__(self, callbacks: Any) -> None:
        self.batches: list[float] = []
        self.between: list[float] = []
        self._first = self._last = 0.0
        self.callback = callbacks.LambdaCallback(
            on_train_batch_end=self._batch_end, on_epoch_end=self._epoch_end
        )

    @property
    def steady(self) -> float:
        return statistics.median(self.batches)

    @property
    def gap(self) -> float:
        return statistics.median(self.between)

    @property
    def epoch(self) -> float:
        return self.steady + self.gap

    def _batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        if batch == 0:
            if self._last:
                self.between.append(now - self._last)
            self._first = now
        self._last = now

    def _epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch:
            self.batches.append(self._last - self._first)

    @classmethod
    def of(cls, case: Case, workers: int, processes: bool) -> _Clock:
        """Fits with so many workers."""
        clock = cls(case.keras.callbacks)
        batches, how = case.batches(), {"workers": max(1, workers), "use_multiprocessing": processes}
        if case.framework == "keras":  # Keras 3 asks the source, not fit
            for name, value in how.items():
                setattr(batches, name, value)
            how = {}
        case.model().fit(batches, epochs=EPOCHS, verbose=0, callbacks=[clock.callback], **how)
        return clock


def _name(workers: int, processes: bool) -> str:
    return f"{workers} {'processes' if processes else 'threads'}" if workers else "no workers"


# -- what batchaudit says -------------------------------------------------------------------------


def advice(case: Case) -> None:
    ways = [f"{case.framework}-{'processes' if own else 'threads'}:{count}" for count, own in WORKERS[1:]]
    with quiet():
        report = ba.audit(case.batches, ["serial", *ways], epochs=1, probes=False, name="batches")
    print("\nadvice for", str(report).partition("\nadvice for ")[2].strip())


def one(name: str) -> None:
    """Prints all of one case."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # or forked workers print again what waits
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder))
        case = Case(name, Path(folder))
        free = statistics.median(pair())
        what = f"{case.framework} {case.keras.__version__}, {case.side}x{case.side} {case.colours}"
        print(f"\n== {what}; {cores()} cores, on which two threads get {free:.1f} x as much done as one")
        parts(case)
        advice(case)
        fits(
            case
        )  # last: TensorFlow's threads run from then on, and the processes that were timed are forked


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    asked = parser.parse_args().cases or CASES
    if set(asked) - set(CASES):
        parser.error(f"there is {', '.join(CASES)}")
    if len(asked) == 1:
        one(asked[0])
        return
    path = os.pathsep.join(filter(None, sys.path))  # whether it was started as a script or as a module
    for name in asked:  # each in a process of its own: what one has started is not there for the next
        subprocess.run([sys.executable, __file__, name], check=True, env={**os.environ, "PYTHONPATH": path})


if __name__ == "__main__":
    main()
