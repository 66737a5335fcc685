"""The process that fuzzes: it ends at a crash, a hang or too much memory, and libFuzzer keeps the input.

It is started by `__main__.py` with the target's name, and then libFuzzer's own arguments.
"""

from __future__ import annotations

import sys

import atheris

name, *options = sys.argv[1:]
with atheris.instrument_imports(include=["batchaudit"]):
    from tests.faults.fuzz.mutators import MUTATORS
    from tests.faults.fuzz.targets import TARGETS


def mutate(data: bytes, most: int, seed: int) -> bytes:
    return MUTATORS[name](data, most, seed, atheris.Mutate)


atheris.Setup([sys.argv[0], *options], TARGETS[name], custom_mutator=mutate)
atheris.Fuzz()
