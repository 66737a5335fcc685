from __future__ import annotations

import json

import pytest

from batchaudit.capture.provenance import Place, place

CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"]}


def tf_config(kind, index):
    return json.dumps({"cluster": CLUSTER, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Place(0, 1)),
        ({"RANK": "2", "WORLD_SIZE": "4"}, Place(2, 4)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, Place(1, 2)),
        ({"OMPI_COMM_WORLD_RANK": "7", "OMPI_COMM_WORLD_SIZE": "8"}, Place(7, 8)),
        ({"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, Place(1, 2)),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, Place(1, 2)),
        ({"RANK": "x", "WORLD_SIZE": "2"}, Place(0, 1)),
        ({"RANK": "2"}, Place(0, 1)),
        ({"RANK": "2", "WORLD_SIZE": "2"}, Place(0, 1)),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, Place(0, 1)),
        ({"TF_CONFIG": tf_config("chief", 0)}, Place(0, 3)),
        ({"TF_CONFIG": tf_config("worker", 1)}, Place(2, 3)),
        ({"TF_CONFIG": tf_config("ps", 0)}, Place(0, 1)),
        ({"TF_CONFIG": "not json"}, Place(0, 1)),
        ({"TF_CONFIG": "[1]"}, Place(0, 1)),
    ],
)
def test_the_launchers_word_is_taken_where_it_makes_sense(environ, expected):
    assert place(environ) == expected


def test_the_process_own_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "5")
    assert place() == Place(3, 5)


def test_what_torch_has_been_told_is_believed(tmp_path, monkeypatch):
    distributed = pytest.importorskip("torch.distributed")
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        assert place() == Place(0, 1)
    finally:
        distributed.destroy_process_group()
    assert place() == Place(3, 4)
