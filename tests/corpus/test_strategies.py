"""Real bugs and their repaired twins: the right cause is named, and on the twin nothing is."""

from __future__ import annotations

from functools import partial

import pytest

import batchaudit as ba
from tests.corpus import loaders

RNG_BOTH = {"rng-clone", "rng-epoch-reset"}
FROZEN = {"frozen-augmentation"}
REPLICA = {"unsharded-replica"}
RACE = {"shared-state-race"}

# case, source, strategy, steps an epoch, causes
CASES = [
    # a plain stream, replicated
    ("K01", loaders.endless_stream, "fork:4", 16, REPLICA),
    ("K01", loaders.endless_stream, "tf_keras-processes:4", 32, REPLICA),
    ("K01 twin", loaders.endless_stream, "serial", 16, set()),
    ("K01 twin", loaders.endless_stream, "tf_keras-threads:1", 16, set()),
    ("K01 twin", loaders.Indexed, "fork:4", None, set()),
    ("K01 twin", partial(loaders.tf_keras, loaders.Indexed), "tf_keras-processes:4", None, set()),
    ("K01 in a Sequence", loaders.SequenceAroundAGenerator, "fork:4", None, REPLICA),
    ("K01, iterator class", loaders.Locked, "fork:3", 12, REPLICA),
    ("K01, spawn", loaders.Unlocked, "spawn:2", 12, REPLICA),
    ("K01 twin, shuffled", loaders.ShuffledEachEpoch, "fork:4", None, set()),
    ("K10, order", loaders.ShuffledEachEpoch, "fork:4", 16, set()),
    ("K10, order", partial(loaders.keras, loaders.ShuffledEachEpoch), "keras-processes:4", 16, set()),
    ("P18", loaders.Iterable, "fork:3", None, REPLICA),
    ("P18", loaders.finite_stream, "fork:2", None, REPLICA),
    ("P18, tf.data", loaders.finite_stream, "tf.data:4", None, REPLICA),
    ("P18 twin", loaders.Iterable, "serial", None, set()),
    ("P18 twin, tf.data", loaders.finite_stream, "tf.data:1", None, set()),
    ("P18, shuffled inside", loaders.stream_shuffled_in_each_worker, "fork:4", 32, REPLICA),
    ("P18 twin, shuffled", loaders.stream_shuffled_in_each_worker, "serial", 32, set()),
    # random states
    ("K05", partial(loaders.keras, loaders.NoiseFromNumpysGlobalStream), "keras-processes:4", None, RNG_BOTH),
    (
        "K05",
        partial(loaders.tf_keras, loaders.NoiseFromNumpysGlobalStream),
        "tf_keras-processes:4",
        None,
        RNG_BOTH,
    ),
    ("K05 twin", partial(loaders.keras, loaders.NoiseFromNumpysGlobalStream), "keras-threads:4", None, set()),
    (
        "K05 twin",
        partial(loaders.keras, loaders.NoiseFromAStreamForEachBatch),
        "keras-processes:4",
        None,
        set(),
    ),
    ("P03", loaders.NoiseFromNumpysGlobalStream, "fork:4", None, RNG_BOTH),
    ("P07", loaders.NoiseFromAnAttribute, "fork:4", None, RNG_BOTH),
    ("P07 twin", loaders.NoiseFromAnAttribute, "serial", None, set()),
    ("P11 twin", loaders.NoiseSeededOnceInEachWorker, "fork:4", None, set()),
    (
        "P11 twin",
        partial(loaders.keras, loaders.NoiseSeededOnceInEachWorker),
        "keras-processes:4",
        None,
        set(),
    ),
    ("P16 twin", loaders.NoiseFromPythonsRandom, "fork:4", None, set()),
    ("seeded by index", loaders.NoiseSeededByIndex, "fork:4", None, FROZEN),
    ("seeded by index", loaders.NoiseSeededByIndex, "serial", None, FROZEN),
    ("P16", loaders.drawn_from_numpys_global_stream, "fork:4,seed=inherit", 16, {"rng-clone"}),
    ("P16 twin", loaders.drawn_from_numpys_global_stream, "fork:4,seed=fresh", 16, set()),
    ("P16 twin", loaders.drawn_from_numpys_global_stream, "fork:4,seed=11", 16, set()),
    ("P16", loaders.drawn_from_numpys_global_stream, "tf_keras-processes:4", 32, {"rng-clone"}),
    ("P39", loaders.drawn_with_one_seed_in_every_worker, "fork:4", 16, {"rng-clone"}),
    ("P39 twin", loaders.drawn_with_a_seed_of_the_worker, "fork:4", 16, set()),
    # threads
    ("K04", loaders.endless_stream, "threads:4", 16, RACE),
    ("K04", loaders.endless_stream, "tf_keras-threads:4", 16, RACE),
    ("K04, iterator class", loaders.Unlocked, "threads:4", 16, RACE),
    ("K04 twin", loaders.Locked, "threads:4", 16, set()),
    ("K04 twin", loaders.Locked, "tf_keras-threads:4", 16, set()),
    ("K18", loaders.NoiseFromAnAttributeOutOfOrder, "threads:4", None, RACE),
    ("torn rows", loaders.OneBufferForAllThreads, "threads:4", None, RACE),
    ("torn rows, twin", loaders.Indexed, "threads:4", None, set()),
    (
        "torn rows, Keras",
        partial(loaders.keras, loaders.OneBufferForAllThreads),
        "keras-threads:4",
        None,
        RACE,
    ),
    # duplicates by design
    ("G01", loaders.repeats_by_design, "serial", 16, set()),
    ("G01", loaders.repeats_by_design, "fork:2", 16, REPLICA),
    ("G01", loaders.constant, "fork:3", None, set()),
]


@pytest.mark.parametrize(
    ("case", "source", "strategy", "steps", "causes"),
    CASES,
    ids=[f"{case[0]}-{case[2]}-{number}" for number, case in enumerate(CASES)],
)
def test_the_right_causes_are_found(case, source, strategy, steps, causes):
    report = ba.audit(source, [strategy], epochs=3, steps_per_epoch=steps, name=case, timeout=60)
    (run,) = report.runs
    assert run.skipped is None
    by_design = {"intrinsic-duplicate"}  # of what the source repeats by itself, or draws with replacement
    assert {finding.cause for finding in run.findings} - by_design == causes, str(report)
    for finding in run.findings:
        assert finding.fix and finding.evidence["first_example"]
    assert {verdict.cause for verdict in run.verdicts} >= causes
