"""Digests that were kept: a log written by one version must be comparable with one written by another.

If this fails, the definition of the digests has changed. If that was not meant, find out what changed. If it
was, raise `FORMAT_VERSION` in `batchaudit/capture/fingerprint.py`, say so in the CHANGELOG, and write
the file anew, in an environment where batchaudit is installed, with

    python tests/capture/test_fingerprint_golden.py
"""

from __future__ import annotations

import collections
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from batchaudit.capture.fingerprint import FORMAT_VERSION, fingerprint

KEPT = Path(__file__).with_name("golden_fingerprints.json")
ADVICE = (
    "the digests differ from the kept ones: if the format was meant to change, raise FORMAT_VERSION and run "
    "`python tests/capture/test_fingerprint_golden.py`; if not, find what changed them"
)


def ramp(*shape, dtype="f4"):
    """Content by arithmetic, the same on every machine and in every version of NumPy."""
    size = int(np.prod(shape))
    return ((np.arange(size, dtype=np.int64) * 7919 + 13) % 251).astype(dtype).reshape(shape)


def objects(*items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


def batches():
    """Names and makers of the batches."""
    images, labels = ramp(8, 28, 28), ramp(8, dtype="i8")
    fields = [("id", "i4"), ("name", "U4"), ("box", "f4", (2,))]
    record = np.zeros(3, fields)
    record["id"], record["name"], record["box"] = [1, 2, 3], ["a", "bß", ""], ramp(3, 2)
    point = collections.namedtuple("Point", "x y")
    return {
        "images and labels": (images, labels),
        "images and labels by name": {"image": images, "label": labels},
        "with weights None": (images, labels, None),
        "one array": images,
        "rows of 40 bytes, more than a block": ramp(1500, 10),
        "rows of 512 bytes, packed": (ramp(4, 128), ramp(4)),
        "rows of 516 bytes, digested": (ramp(4, 129), ramp(4)),
        "rows of 160 kB": (ramp(2, 40_000), ramp(2, dtype="i8")),
        "uint8": ramp(4, 6, dtype="u1"),
        "bool": ramp(4, 6) > 100,
        "float16": ramp(4, 6, dtype="f2"),
        "float64 big-endian, column-major": np.asfortranarray(ramp(4, 6, dtype=">f8")),
        "complex": ramp(4, 6) * np.complex64(1 - 2j),
        "special floats": np.array([0.0, -0.0, np.inf, -np.inf]),
        "datetimes": ramp(5, dtype="i8").astype("M8[s]"),
        "void": ramp(4, 8, dtype="u1").view("V8"),
        "text": np.array(["a", "bß", "", "\U0001f600"]),
        "bytes": np.array([b"a", b"bc", b""]),
        "records": record,
        "masked": np.ma.array(ramp(4), mask=[0, 1, 0, 1]),
        "nested": {"a": (images, [labels, None]), "b": {"c": labels, 3: (1, "x", 2.5)}},
        "list of text": (images, list("abcdefgh")),
        "list of numbers": (images, list(range(8))),
        "namedtuple": point(images, labels),
        "objects": objects(None, 1, 2.5, "a", b"a", [1, {"k": (True, 10**30)}], ramp(2, 2)),
        "python values": (1, -1, 2.5, True, "ß", b"\0", 1j, 2**70),
        "no axis": np.float32(3),
        "lengths that disagree": (ramp(4, 2), ramp(3)),
        "no rows": ramp(0, 4),
        "nothing": (),
    }


def digests():
    kept = {}
    for name, batch in batches().items():
        found = fingerprint(batch)
        samples = None
        if found.samples is not None:
            samples = [f"{digest:016x}" for digest in found.samples[:3].tolist()]
        kept[name] = {"digest": f"{found.digest_hi:016x}{found.digest_lo:016x}", "first_samples": samples}
    return kept


def test_the_kept_digests_are_of_this_version():
    assert json.loads(KEPT.read_text())["format_version"] == FORMAT_VERSION, ADVICE


@pytest.mark.parametrize("name", batches())
def test_digest_is_the_kept_one(name):
    kept = json.loads(KEPT.read_text())["batches"]
    assert digests()[name] == kept[name], ADVICE


if __name__ == "__main__":
    document = {"format_version": FORMAT_VERSION, "batches": digests()}
    KEPT.write_text(json.dumps(document, indent=1) + "\n")
    sys.stdout.write(f"wrote {len(document['batches'])} digests to {KEPT.name}\n")
