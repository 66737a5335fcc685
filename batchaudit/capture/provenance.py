"""Which training process this is, among those of a distributed training.

Launchers tell a process its rank and the world size through the environment; nothing else of the
environment is read or logged. Where a program has told `torch.distributed`, that is believed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

# (rank, world size) as PyTorch and Horovod, SLURM, Open MPI and JAX launchers name them.
_PAIRS = (
    ("RANK", "WORLD_SIZE"),
    ("HOROVOD_RANK", "HOROVOD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("JAX_PROCESS_INDEX", "JAX_PROCESS_COUNT"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("LOCAL_RANK", "WORLD_SIZE"),  # Lightning's own launcher, on one machine
)


class Place(NamedTuple):
    """A process's place in a distributed training.

    Attributes:
        rank: this process's number, from 0.
        world: how many training processes there are; 1 outside a distributed training.
    """

    rank: int
    world: int


def place(environ: Mapping[str, str] | None = None) -> Place:
    """Rank and world size: as `torch.distributed` has them where it is in use, else as the launcher says.

    Args:
        environ: the environment in which the launcher says it, and nothing else is asked; by default this
            process's.

    Returns:
        The place; rank 0 of 1 where nobody says otherwise.
    """
    if environ is None:
        known = _from_torch()
        if known is not None:
            return known
        environ = os.environ
    for rank, world in _PAIRS:
        found = _numbers(environ.get(rank), environ.get(world))
        if found is not None:
            return found
    return _from_tf_config(environ.get("TF_CONFIG")) or Place(0, 1)


def _from_torch() -> Place | None:
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return Place(distributed.get_rank(), distributed.get_world_size())


def _numbers(rank: str | None, world: str | None) -> Place | None:
    try:
        found = Place(int(rank or ""), int(world or ""))
    except ValueError:
        return None
    return found if 0 <= found.rank < found.world else None


def _from_tf_config(text: str | None) -> Place | None:
    """The chief, then the workers, in the order in which TensorFlow numbers them."""
    try:
        config = json.loads(text or "")
        cluster, task = config["cluster"], config["task"]
        order = [(kind, i) for kind in ("chief", "worker") for i in range(len(cluster.get(kind, ())))]
        return Place(order.index((task["type"], int(task["index"]))), len(order))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
