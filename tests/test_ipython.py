"""`%%batchaudit`, in a shell of IPython's and in a real kernel."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("IPython")
torch = pytest.importorskip("torch")

from IPython.core.interactiveshell import InteractiveShell  # noqa: E402

import batchaudit as ba  # noqa: E402
from batchaudit import consumers  # noqa: E402
from batchaudit.report.model import Report  # noqa: E402

SETUP = """
import torch
from torch.utils.data import DataLoader, TensorDataset
data = TensorDataset(torch.arange(32.0).reshape(16, 2))
"""
LOOP = "for batch in DataLoader(data, batch_size=4):\n    pass"


@pytest.fixture
def shell(monkeypatch):
    # A shell takes the place of the main module, which processes that are started anew look for.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "batchaudit")
    shell.run_cell(SETUP)
    yield shell
    shell.reset()
    InteractiveShell.clear_instance()


@pytest.fixture
def shown(shell, monkeypatch):
    """What is displayed, as (mime types, text)."""
    found = []
    monkeypatch.setattr(shell.display_pub, "publish", lambda data, metadata=None, **_: found.append(data))
    return found


def test_the_report_is_shown_and_kept_under_its_name(shell, shown):
    result = shell.run_cell(f"%%batchaudit seen\n{LOOP}")
    assert result.success
    report = shell.user_ns["seen"]
    assert isinstance(report, Report)
    assert report.epochs["delivered"].tolist() == [4]
    (data,) = shown
    assert data["text/plain"].rstrip() == str(report).rstrip()
    assert data["text/html"].startswith("<div")
    assert "4 of 4 batches are different" in data["text/plain"]


def test_without_a_name_the_report_is_only_shown(shell, shown):
    before = set(shell.user_ns)
    assert shell.run_cell(f"%%batchaudit\n{LOOP}").success
    assert len(shown) == 1
    assert {name for name in set(shell.user_ns) - before if not name.startswith("_")} == {"batch"}


def test_the_cell_runs_as_cells_do(shell, shown, capsys):
    result = shell.run_cell(f"%%batchaudit\nkept = 3\n{LOOP}\nprint('printed')\nkept + 4")
    assert result.success
    assert shell.user_ns["kept"] == 3
    assert "printed" in capsys.readouterr().out
    assert 7 in shell.user_ns["Out"].values()


def test_a_cell_that_raises_shows_its_error_and_the_report_and_has_failed(shell, shown, capsys):
    result = shell.run_cell(f"%%batchaudit seen\n{LOOP}\n1 / 0")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    out = capsys.readouterr().out
    assert out.count("Traceback") == 1
    assert out.rstrip().endswith("ZeroDivisionError: division by zero (the traceback is above)")
    assert len(shown) == 1
    assert shell.user_ns["seen"].epochs["delivered"].tolist() == [4]
    # What follows shows its own errors as ever.
    shell.run_cell("1 / 0")
    assert "Traceback" in capsys.readouterr().out


def test_an_error_that_is_raised_again_shows_its_traceback_again(shell, shown, capsys):
    shell.run_cell("error = ValueError('mine')")
    shell.run_cell("%%batchaudit\nraise error")
    capsys.readouterr()
    shell.run_cell("raise error")
    assert "Traceback" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:To exit")
@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit(3)", "ValueError('two\\nlines')"])
def test_whatever_is_raised_the_cell_has_failed(shell, shown, error):
    result = shell.run_cell(f"%%batchaudit\n{LOOP}\nraise {error}")
    assert type(result.error_in_exec).__name__ == error.partition("(")[0]
    assert len(shown) == 1


def test_a_cell_that_cannot_be_read_is_not_run(shell, shown, capsys):
    result = shell.run_cell(f"%%batchaudit seen\n{LOOP}\nx = = 3")
    assert not result.success
    out = capsys.readouterr()
    assert "SyntaxError" in out.out + out.err
    assert "the cell could not be run, so nothing was watched" in out.out + out.err
    assert shown == []
    assert shell.user_ns["seen"] is None


def test_a_cell_without_a_source_says_so_and_keeps_no_old_report(shell, shown, capsys):
    shell.run_cell(f"%%batchaudit seen\n{LOOP}")
    assert shell.run_cell("%%batchaudit seen\n1 + 1").success
    assert "%%batchaudit: no source of batches was seen." in capsys.readouterr().out
    assert shell.user_ns["seen"] is None
    assert len(shown) == 1


def test_afterwards_nothing_is_watched(shell, shown):
    fetch = vars(torch.utils.data.DataLoader).get("__iter__")
    for cell in (LOOP, f"{LOOP}\n1 / 0", "x = = 3", "1"):
        shell.run_cell(f"%%batchaudit seen\n{cell}")
        assert vars(torch.utils.data.DataLoader).get("__iter__") is fetch
        assert consumers._open == []
    shell.run_cell(f"%%batchaudit seen\n{LOOP}")
    delivered = shell.user_ns["seen"].epochs["delivered"].tolist()
    shell.run_cell(LOOP)
    assert shell.user_ns["seen"].epochs["delivered"].tolist() == delivered


def test_two_cells_are_two_reports(shell, shown):
    shell.run_cell(f"%%batchaudit one\n{LOOP}")
    shell.run_cell("%%batchaudit two\nfor batch in DataLoader(data, batch_size=2): pass")
    assert shell.user_ns["one"].epochs["delivered"].tolist() == [4]
    assert shell.user_ns["two"].epochs["delivered"].tolist() == [8]


def test_the_log_is_kept_where_it_is_asked_for(shell, shown, tmp_path):
    folder = tmp_path / "my runs" / "today"
    assert shell.run_cell(f"%%batchaudit seen --out '{folder}'\n{LOOP}").success
    assert list(folder.glob("*.baj"))
    assert shell.user_ns["seen"].runs[0].run == "today"
    assert ba.load(folder).health.complete


def test_a_cell_that_is_run_again_is_no_training_that_was_resumed(shell, shown, tmp_path):
    for attempt in (0, 1):
        shell.run_cell(f"%%batchaudit seen --out {tmp_path}\n{LOOP}")
        report = shell.user_ns["seen"]
        assert [run.attempt for run in report.runs] == [attempt]
        assert report.findings == ()
    assert shell.run_cell(f"%%batchaudit seen --out {tmp_path}\n1").success
    assert shell.user_ns["seen"] is None


def test_without_a_folder_nothing_is_left(shell, shown, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    shell.run_cell(f"%%batchaudit seen\n{LOOP}")
    assert [one for one in tmp_path.iterdir() if one.name.startswith("batchaudit-")] == []
    assert "4 of 4" in str(shell.user_ns["seen"])  # it is read already


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1st", "'1st' is no name of a variable"),
        ("class", "'class' is no name of a variable"),
        ("a.b", "'a.b' is no name of a variable"),
        ("a b", "unrecognized arguments: b"),
        ("--outt x", "unrecognized arguments: --outt"),
        ("--out", "expected one argument"),
        ("'a", "No closing quotation"),
        ("--out /proc/nothing/here", "the folder /proc/nothing/here cannot be written"),
    ],
)
def test_what_is_asked_for_wrongly_is_told_and_nothing_is_run(shell, shown, line, said, capsys):
    result = shell.run_cell(f"%%batchaudit {line}\nran = True")
    assert not result.success
    out = capsys.readouterr()
    assert said in out.out + out.err
    assert "Traceback" not in out.out + out.err
    assert "ran" not in shell.user_ns
    assert shown == []


def test_the_help_says_how_it_is_used(shell):
    text = shell.find_cell_magic("batchaudit").__doc__
    assert "%%batchaudit [NAME] [--out DIR]" in text


def test_in_a_kernel_the_report_is_an_output_and_an_error_stops_the_notebook(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(Path(ba.__file__).parents[1]))
    cells = [
        "%load_ext batchaudit" + SETUP,
        f"%%batchaudit seen\n{LOOP}",
        f"%%batchaudit seen\n{LOOP}\n1 / 0",
        "after = 1",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivisionError"):
        client.execute()
    (shown,) = [one for one in notebook.cells[1].outputs if one.output_type == "display_data"]
    assert "4 of 4 batches are different" in "".join(shown.data["text/plain"])
    assert "<svg" in "".join(shown.data["text/html"])
    kinds = [one.output_type for one in notebook.cells[2].outputs]
    assert kinds == ["error", "display_data", "error"]
    first, last = notebook.cells[2].outputs[0], notebook.cells[2].outputs[2]
    assert len(first.traceback) > len(last.traceback) == 1
    assert notebook.cells[3].execution_count is None


def test_importing_batchaudit_loads_no_ipython():
    code = "import sys, batchaudit; assert not [n for n in sys.modules if n.split('.')[0] == 'IPython']"
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
