"""The loaders that `drawn` describes, made of the real frameworks' parts."""

from __future__ import annotations

import os
import random
import signal
import time

import numpy as np


class Data:
    """Makes the samples and batches of one loader; it raises, or ends its worker, where that is its fault."""

    def __init__(self, case):
        self.case = case
        self.private = np.random.default_rng(11)
        self.parent = os.getpid()

    def batch(self, number):
        """One batch of arrays."""
        case, rows = self.case, self.case["rows"]
        if case.get("jitter"):
            time.sleep(int.from_bytes(os.urandom(1), "little") / 20_000)
        if number == case["batches"] - 1:
            rows = {"full": rows, "short": (rows + 1) // 2, "empty": 0}[case["leaves"]["last"]]
        return self._whole(number, [rows, *case["leaves"]["shape"]])

    def sample(self, number):
        """One sample."""
        return self._whole(number // self.case["rows"], self.case["leaves"]["shape"], number)

    def _whole(self, number, shape, salt=0):
        case = self.case
        if number == case["at"] and case["fault"] == "raises":
            raise ValueError(f"no batch {number}")
        if number == case["at"] and case["fault"] == "worker-dies" and os.getpid() != self.parent:
            time.sleep(0.2)  # what the worker has sent so far arrives: the loss itself is torch's to tell
            os.kill(os.getpid(), signal.SIGKILL)
        noise = sum(self._draw(stream) for stream in case["draws"])
        first, second = (
            leaf(dtype, shape, number * 7 + salt, noise * (place == 0))
            for place, dtype in enumerate(case["leaves"]["dtypes"])
        )
        return {
            "one": lambda: first,
            "pair": lambda: (first, second),
            "dict": lambda: {"x": first, "y": second},
            "nested": lambda: {"a": (first, {"b": second}), "c": second},
        }[case["leaves"]["structure"]]()

    def _draw(self, stream):
        if stream == "numpy":
            return np.random.random()
        if stream == "python":
            return random.random()
        if stream == "private":
            return self.private.random()
        if stream == "torch":
            import torch

            return torch.rand(()).item()
        return 0.0  # TensorFlow's is drawn in a stage of its pipeline


def leaf(dtype, shape, number, noise):
    """One array; the noise changes it."""
    whole = np.arange(np.prod(shape, dtype=int)).reshape(shape) + number
    if dtype in ("text", "object"):
        said = [f"é{each}:{noise:.3f}" for each in whole.ravel()]
        return np.array(
            said if dtype == "text" else [*map(tuple, said)] and said, dtype if dtype == "object" else str
        )
    if dtype == "bool":
        return (whole + round(noise * 10)) % 2 == 0
    return (whole + noise * 10).astype("int64" if dtype.startswith("datetime") else dtype).astype(dtype)


class Iterator:
    def __init__(self, data):
        self.data, self.next = data, 0

    def __iter__(self):
        self.next = 0
        return self

    def __next__(self):
        if self.next == self.data.case["batches"]:
            raise StopIteration
        self.next += 1
        return self.data.batch(self.next - 1)


class Iterable:
    def __init__(self, data):
        self.data = data

    def __iter__(self):
        for number in range(self.data.case["batches"]):
            yield self.data.batch(number)


def endless(data):
    while True:
        yield from Iterable(data)


def generator(case):
    return endless(Data(case))


def plain(case):
    """A source of Python's own."""
    data = Data(case)
    if case["family"] == "list":
        return [
            data.batch(number)
            for number in range(case["batches"])
            if number != case["at"] or case["fault"] != "raises"
        ]
    return {"iterator": Iterator, "iterable": Iterable, "generator": endless}[case["family"]](data)


def of_torch(case):
    """A DataLoader."""
    import torch
    from torch.utils.data import (
        BatchSampler,
        DataLoader,
        RandomSampler,
        Subset,
        WeightedRandomSampler,
    )

    from tests.faults import made_torch

    data = Data(case)
    total = case["batches"] * case["rows"] + 1
    workers = case["workers"]
    options = {
        "num_workers": workers,
        "multiprocessing_context": case["start"],
        "persistent_workers": case["persistent"],
        "collate_fn": {"default": None, "own": made_torch.keep, "none": made_torch.keep}[case["collate"]],
        "generator": torch.Generator().manual_seed(5) if case["generator"] else None,
        "worker_init_fn": made_torch.begin,
    }
    if workers:
        options["prefetch_factor"] = case["prefetch"]
    if case["family"] == "torch-stream":
        dataset = made_torch.Stream(data, total)
        return DataLoader(dataset, case["rows"], drop_last=case["drop_last"], **options)
    dataset = made_torch.Map(data, total)
    kind = case["sampler"]
    if kind == "batches":
        return DataLoader(
            dataset,
            batch_sampler=BatchSampler(RandomSampler(dataset), case["rows"], case["drop_last"]),
            **options,
        )
    if kind == "subset":
        dataset, kind = Subset(dataset, range(0, total, 2)), "shuffle"
    if kind in ("order", "shuffle"):
        options["shuffle"] = kind == "shuffle"
    else:
        options["sampler"] = {
            "replacement": lambda: RandomSampler(dataset, replacement=True),
            "weighted": lambda: WeightedRandomSampler([1.0] * total, total),
            "own": lambda: made_torch.Drawn(total),
        }[kind]()
    if case["collate"] == "none":
        return DataLoader(dataset, batch_size=None, **options)
    return DataLoader(dataset, case["rows"], drop_last=case["drop_last"], **options)


def of_tf_data(case):
    """A tf.data pipeline."""
    import tensorflow as tf

    data, parallel = Data(case), tf.data.AUTOTUNE if case["map"] == "parallel" else None
    if case["family"] == "tf.data-generator":
        spec = tf.nest.map_structure(
            lambda each: tf.TensorSpec((None, *case["leaves"]["shape"]), each.dtype),
            Data({**case, "fault": "none", "draws": []}).batch(0),
        )
        dataset = tf.data.Dataset.from_generator(lambda: iter(Iterable(data)), output_signature=spec)
    else:
        table = Data({**case, "fault": "none"})
        samples = [table.sample(number) for number in range(case["batches"] * case["rows"])]
        stacked = tf.nest.map_structure(lambda *each: np.stack(each), *samples)
        dataset = tf.data.Dataset.from_tensor_slices(stacked)
    if case["shuffle"]:
        dataset = dataset.shuffle(case["shuffle"], seed=3, reshuffle_each_iteration=case["reshuffle"])
    if "tensorflow" in case["draws"]:
        dataset = dataset.map(with_noise(tf), num_parallel_calls=None)
    if case["map"] != "none":
        same = lambda *each: each if len(each) > 1 else each[0]  # noqa: E731 - AutoGraph reads its source
        dataset = dataset.map(same, num_parallel_calls=parallel)
    if case["batch"] and case["family"] == "tf.data-slices":
        dataset = dataset.batch(case["batch"], drop_remainder=case["drop_last"])
    if case["deterministic"]:
        options = tf.data.Options()
        options.deterministic = True
        dataset = dataset.with_options(options)
    return dataset.prefetch(2) if case["prefetch"] else dataset


def with_noise(tf):
    """Beside each element a number that TensorFlow draws."""
    return lambda *each: (*each, tf.random.uniform(()))


def of_keras(case):
    """What a fit is given."""
    if case["family"] in ("keras-generator", "tf_keras-generator"):
        return endless(Data(case))
    from tests.faults import made_keras

    return made_keras.dataset(case, Data(case))
