"""What to change, as code for the framework at hand. Data: one place to correct when an API changes."""

from __future__ import annotations

from batchaudit.analysis.evidence import Evidence

STREAM_NAMES = {
    "numpy": "NumPy's global stream",
    "python": "Python's global stream",
    "torch": "torch's global stream",
    "tensorflow": "TensorFlow's global generator",
    "private": "a generator that the source holds",
}

_BY_INDEX = """\
# in the {base}: draw from a generator of the batch's own, whichever worker makes it
def __getitem__(self, index):
    rng = np.random.default_rng([self.seed, self.epoch, index])
    ...  # and draw from rng, not from np.random
def on_epoch_end(self):
    self.epoch += 1"""

_BY_WORKER = """\
# in the generator: begin a stream of the worker's own where the generator begins to run
def batches():
    rng = np.random.default_rng([seed, os.getpid()])
    while True:
        ...  # and draw from rng, not from np.random or a generator made outside"""

_GO_ON = """\
# in the generator: seed once, outside the loop over epochs, and let the stream go on
def batches():
    rng = np.random.default_rng(seed)
    while True:  # all epochs
        ..."""

_SHARD_GENERATOR = """\
# a generator has no index by which workers could share the work: use one worker,
model.fit(batches(), workers=1)
# or make it indexable, so that each batch is made by one worker only:
class Batches({base}):
    def __len__(self): return number_of_batches
    def __getitem__(self, index): return batch(index)"""

_SHARD_TF_DATA = """\
# each interleaved copy walks the whole stream: use one copy, or give each its share
tf.data.Dataset.range(n).interleave(
    lambda i: tf.data.Dataset.from_generator(batches, args=(i, n), output_signature=...))
# where batches(i, n) yields batches i, i + n, i + 2n, ..."""

_LOCK = """\
# let one thread at a time into the iterator:
class Locked:
    def __init__(self, batches): self.batches, self.lock = batches, threading.Lock()
    def __iter__(self): return self
    def __next__(self):
        with self.lock:
            return next(self.batches)
# or make it indexable ({base}), or use one worker"""

_NO_SHARED_STATE = """\
# in __getitem__: write into arrays made in the call, never into an attribute that all threads share
def __getitem__(self, index):
    batch = np.empty(shape, dtype)  # not self.buffer"""


def _base(evidence: Evidence) -> str:
    return "tf_keras.utils.Sequence" if evidence.family.startswith("tf_keras") else "keras.utils.PyDataset"


def seed_per_worker(evidence: Evidence) -> str:
    """The fix of `rng-clone`."""
    return _BY_INDEX.format(base=_base(evidence)) if evidence.kind == "indexed" else _BY_WORKER


def seed_per_epoch(evidence: Evidence) -> str:
    """The fix of `rng-epoch-reset`."""
    return _BY_INDEX.format(base=_base(evidence)) if evidence.kind == "indexed" else _GO_ON


def shard(evidence: Evidence) -> str:
    """The fix of `unsharded-replica`."""
    return _SHARD_TF_DATA if evidence.family == "tf.data" else _SHARD_GENERATOR.format(base=_base(evidence))


def synchronise(evidence: Evidence) -> str:
    """The fix of `shared-state-race`."""
    return _NO_SHARED_STATE if evidence.kind == "indexed" else _LOCK.format(base=_base(evidence))
