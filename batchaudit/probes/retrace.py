"""`retrace`: what the stages of a tf.data pipeline draw. Imports TensorFlow, which the program has loaded.

The function of a stage is Python only while it is traced; afterwards it is a graph. So the graphs are looked
through for random operations, and each function is traced again, twice, the second time with everything that
is random seeded otherwise: a constant that differs was drawn while it was traced, once for all samples.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from batchaudit.capture.restore import preserved_streams
from batchaudit.probes import seeding
from batchaudit.probes.subject import Subject
from batchaudit.sources.kinds import Kind
from batchaudit.strategies import Job, Strategy

NAME = "retrace"
EPOCHS = 1
STAGE = "stage "
"""A hook of this, a stage's name and what was seen in it; its step is the stage's number from the data on."""

_FUNCTIONS = ("_map_func", "_scan_func", "_reduce_func")
_SEEDED = re.compile(
    r"(Random(Uniform|UniformInt|StandardNormal|Gamma|Shuffle|Poisson|PoissonV2)|TruncatedNormal"
    r"|ParameterizedTruncatedNormal|Multinomial|SampleDistortedBoundingBox(V2)?|RandomCrop)"
)
_STATELESS = re.compile(r"Stateless(Random|Truncated|Multinomial|Parameterized|Sample).*")
_GENERATOR = re.compile(r"RngReadAndSkip|RngSkip|Stateful(Uniform|StandardNormal|TruncatedNormal|Random).*")
_PYTHON = re.compile(r"(Eager)?PyFunc(Stateless)?")
_KEY = re.compile(r"StatelessRandomGet.*")  # of a stateless draw, which is there too, or of a generator's


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Of a dataset of TensorFlow's."""
    return subject.kind is Kind.DATASET


def drive(job: Job, strategy: Strategy) -> None:
    """Looks through one pipeline.

    Args:
        job: who drives it.
        strategy: nothing is asked of it.
    """
    stages = list(_stages(job.plain()))
    for number, stage in enumerate(reversed(stages)):
        says = ", ".join(sorted(_seen_in(stage)))
        job.recorder.hook(f"{STAGE}{_name(stage)}: {says}", epoch=0, step=number)


def _stages(dataset: Any) -> Iterator[Any]:
    """The stages of a pipeline, from its end on; of those that have several inputs, one after the other."""
    yield dataset
    for before in dataset._inputs():
        yield from _stages(before)


def _name(stage: Any) -> str:
    name = type(stage).__name__.strip("_").removesuffix("V2").removesuffix("Dataset")
    return name.removeprefix("Parallel") or "Dataset"


def _seen_in(stage: Any) -> set[str]:
    seen: set[str] = set()
    for name in _FUNCTIONS:
        wrapper = getattr(stage, name, None)
        if wrapper is None or not hasattr(wrapper, "_func"):
            continue
        with suppress(Exception):  # one that cannot be read is left out
            seen |= _operations(_graph(wrapper))
        with suppress(Exception):
            if _drawn_while_traced(stage, wrapper):
                seen.add("constant")
    if "Generator" in type(stage).__name__:
        seen.add("python")
    return seen


def _graph(wrapper: Any) -> Any:
    return wrapper.function.graph.as_graph_def(add_shapes=False)


def _nodes(graph: Any) -> Iterator[Any]:
    """The operations of a graph and of the functions that it calls."""
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _operations(graph: Any) -> set[str]:
    seen = set()
    types = {node.op for node in _nodes(graph)}
    for node in _nodes(graph):
        if _SEEDED.fullmatch(node.op):
            seeds = [node.attr[name].i for name in ("seed", "seed2") if name in node.attr]
            seen.add("seeded" if any(seeds) else "random")
        elif _PYTHON.fullmatch(node.op):
            seen.add("python")
    generators = any(_GENERATOR.fullmatch(kind) for kind in types)
    # A generator draws from what its state gives, without one; so does a layer that keeps a seed.
    if generators:
        seen.add("generator")
    elif any(_STATELESS.fullmatch(kind) and not _KEY.fullmatch(kind) for kind in types):
        seen.add("generator" if "AssignVariableOp" in types else "stateless")
    return seen


# -- what is drawn while a function is traced -----------------------------------------------------


def _drawn_while_traced(stage: Any, wrapper: Any) -> bool:
    with preserved_streams():
        once = _constants(_traced(stage, wrapper))
    with preserved_streams():
        again = _constants(_traced(stage, wrapper))
    with preserved_streams(seeding.ANOTHER), seeding.wrapped(lambda name: None, otherwise=True):
        otherwise = _constants(_traced(stage, wrapper))
    # What differs anyhow is no draw from a stream: a counter, an address.
    return once == again != otherwise and len(once) == len(otherwise)


def _traced(stage: Any, wrapper: Any) -> Any:
    from tensorflow.python.data.ops import structured_function

    with _quiet():
        return structured_function.StructuredFunctionWrapper(
            wrapper._func, "batchaudit", input_structure=wrapper._input_structure, add_to_graph=False
        )


def _constants(wrapper: Any) -> list[bytes]:
    return sorted(
        node.attr["value"].tensor.SerializeToString(deterministic=True)
        for node in _nodes(_graph(wrapper))
        if node.op == "Const"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """AutoGraph says a second time what it said when the program traced the function."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
