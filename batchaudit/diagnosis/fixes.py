"""What to change, as code for the framework at hand. Data: one place to correct when an API changes."""

from __future__ import annotations

from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.splits import Part

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


_PASS_EPOCH = """\
# the workers have copies: what is set on the dataset afterwards does not reach them. Let them be made anew,
DataLoader(dataset, ..., persistent_workers=False)
# or share the number with them:
class Data(torch.utils.data.Dataset):
    def __init__(self): self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()
    def set_epoch(self, epoch): self.epoch.fill_(epoch)"""

_CALL_SET_EPOCH = """\
for epoch in range(epochs):
    sampler.set_epoch(epoch)  # before the loader is iterated
    for batch in loader:
        ..."""

_SHARD_TORCH = """\
# in the dataset: each worker walks its own part of the stream
def __iter__(self):
    info = torch.utils.data.get_worker_info()
    first, step = (info.id, info.num_workers) if info else (0, 1)
    for i in range(first, len(self.items), step):
        yield self.items[i]"""

_SEED_TORCH = """\
# torch seeds its own stream, Python's and NumPy's global one in each worker; not a generator that the
# dataset holds, of which every worker has a copy. Make it anew in each worker:
def seed_worker(worker_id):
    info = torch.utils.data.get_worker_info()
    info.dataset.rng = np.random.default_rng(info.seed)
DataLoader(dataset, ..., worker_init_fn=seed_worker)"""

_SPLIT_TF_DATA = """\
# split before anything shuffles, or shuffle once and for all:
data = data.shuffle(n, seed=seed, reshuffle_each_iteration=False)
validation, training = data.take(k), data.skip(k)
training = training.shuffle(n)  # anew in each epoch, within the training samples"""

_SPLIT_TORCH = """\
# split the indices once, with a generator of its own, and keep them with the checkpoint:
generator = torch.Generator().manual_seed(seed)
training, validation = torch.utils.data.random_split(dataset, [n - k, k], generator=generator)"""

_SPLIT = """\
# split the indices once, before the sources are made, and keep them with the checkpoint:
order = np.random.default_rng(seed).permutation(n)
validation, training = order[:k], order[k:]
# items that belong together (one patient, one recording, copies) go into one split as a group"""


def _base(evidence: Evidence) -> str:
    return "tf_keras.utils.Sequence" if evidence.framework == "tf_keras" else "keras.utils.PyDataset"


def seed_per_worker(evidence: Evidence) -> str:
    """The fix of `rng-clone`."""
    if evidence.framework == "torch":
        return _SEED_TORCH
    return _BY_INDEX.format(base=_base(evidence)) if evidence.kind == "indexed" else _BY_WORKER


def seed_per_epoch(evidence: Evidence) -> str:
    """The fix of `rng-epoch-reset`."""
    if evidence.framework == "torch":
        return _SEED_TORCH
    return _BY_INDEX.format(base=_base(evidence)) if evidence.kind == "indexed" else _GO_ON


def shard(evidence: Evidence) -> str:
    """The fix of `unsharded-replica`."""
    if evidence.framework == "torch":
        return _SHARD_TORCH
    return _SHARD_TF_DATA if evidence.family == "tf.data" else _SHARD_GENERATOR.format(base=_base(evidence))


def pass_epoch(evidence: Evidence) -> str:
    """The fix of `stale-epoch` where the workers hold an old one."""
    return _PASS_EPOCH


def call_set_epoch(evidence: Evidence) -> str:
    """The fix of `stale-epoch` where nobody tells the sampler."""
    return _CALL_SET_EPOCH


def synchronise(evidence: Evidence) -> str:
    """The fix of `shared-state-race`."""
    return _NO_SHARED_STATE if evidence.kind == "indexed" else _LOCK.format(base=_base(evidence))


def split_once(training: Part) -> str:
    """The fix of `split-leak`."""
    if training.framework == "torch":
        return _SPLIT_TORCH
    return _SPLIT_TF_DATA if training.kind == "dataset" else _SPLIT
