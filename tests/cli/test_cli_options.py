"""What a log may keep: `--max-bytes` and `--key-file`, of `audit` and of `run`."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import batchaudit as ba
from batchaudit.cli.main import main
from batchaudit.cli.options import Kept
from tests.running.starting import WATCHED, ended, write

TARGET = "tests.loaders:numbers"
SCRIPT = """\
import numpy as np
from torch.utils.data import DataLoader
seen = [batch.sum().item() for batch in DataLoader(np.arange(4096.0), batch_size=4)]
print(len(seen), sum(seen))
"""


def audit(*options):
    """The exit code, standard output and standard error."""
    done = CliRunner().invoke(
        main, ["audit", TARGET, "--strategy", "serial", "--no-probes", *map(str, options)]
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("said", "bytes_"),
    [("65536", 65536), ("64K", 65536), ("500k", 512_000), ("64M", 64 << 20), ("2G", 2 << 30)],
)
def test_a_size_is_a_number_with_powers_of_1024(monkeypatch, said, bytes_):
    checked = []
    monkeypatch.setattr(Kept, "check", lambda kept: checked.append(kept.max_bytes))
    assert audit("--epochs", 1, "--max-bytes", said)[0] == 0
    assert checked == [bytes_]


@pytest.mark.parametrize("said", ["", "K", "-5", "1.5M", "5T", "64 K", "0x10", "1e6", "٣"])
def test_what_is_no_size_is_bad_usage(said):
    code, _, text = audit("--max-bytes", said)
    assert code == 2
    assert "is no number of bytes: write 1000000, 500K, 64M or 2G" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-bytes", "1K"), "max_bytes=1,024: at least 65,536 are needed"),
        (("--key-file", "nowhere"), "the key file 'nowhere' cannot be read"),
    ],
)
def test_what_cannot_be_kept_so_is_refused_before_anything_is_run(tmp_path, options, said):
    code, _, text = audit(*options, "--out", tmp_path / "run")
    assert code == 2 and text.startswith(f"Error: {said}")
    write(tmp_path, "train.py", "open('ran', 'w')")
    done = ended([*WATCHED, "--out", "run", *options, "train.py"], tmp_path)
    assert done.code == 2 and f"Error: {said}" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.py"]


def test_an_audit_that_reaches_its_limit_says_so(tmp_path):
    with pytest.warns(UserWarning, match="log-full"):
        code, text, _ = audit("--epochs", 60, "--max-bytes", "64K", "--out", tmp_path)
    assert code == 3
    assert text.startswith("INCOMPLETE: ")
    assert sum(path.stat().st_size for path in tmp_path.glob("*.baj")) <= 65536
    assert CliRunner().invoke(main, ["report", str(tmp_path)]).exit_code == 3


def test_an_audit_with_a_key(tmp_path):
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    code, text, _ = audit("--epochs", 1, "--key-file", tmp_path / "key", "--out", tmp_path / "run", "--json")
    document = json.loads(text)
    assert (code, document["complete"]) == (0, True)
    assert any(note.startswith("the log is keyed") for note in document["notes"])
    assert all(writer["key_name"] for writer in ba.load(tmp_path / "run").writers)


def test_a_script_whose_log_has_a_limit_and_a_key_runs_as_ever(tmp_path):
    pytest.importorskip("torch")
    write(tmp_path, "train.py", SCRIPT)
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    options = ["--out", "run", "--max-bytes", "64K", "--key-file", "key", "--fail-on", "error"]
    done = ended([*WATCHED, *options, "train.py"], tmp_path)
    assert done.out == "1024 8386560.0\n"
    assert done.code == 3  # the script has succeeded, and its log is incomplete
    assert "INCOMPLETE: " in done.err
    assert done.err.splitlines()[-1].startswith("log: ")
    log = ba.load(tmp_path / "run")
    assert sum(path.stat().st_size for path in (tmp_path / "run").glob("*.baj")) <= 65536
    assert 0 < len(log.events) < 1024 and all(writer["key_name"] for writer in log.writers)
