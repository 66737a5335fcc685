"""A real log that lacks something, in each way in which logs do: every face says so, and nobody reads on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

import batchaudit as ba
from batchaudit.cli.main import main
from batchaudit.journal.layout import RECORD, SYNC
from batchaudit.report import incomplete
from batchaudit.report.html import as_fragment, as_page

torch_data = pytest.importorskip("torch.utils.data")


class Items(torch_data.Dataset):
    """32 stored items; by default different ones."""

    def __init__(self, repeats=1):
        self.repeats = repeats

    def __len__(self):
        return 32

    def __getitem__(self, index):
        return np.full(4, index // self.repeats, np.float32)


def make():
    return torch_data.DataLoader(Items(), batch_size=4, num_workers=2)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    with ba.Audit(folder) as audit:
        loader = audit.wrap(make(), name="train")
        for _ in range(2):
            for _ in loader:
                pass
    assert ba.report_of(folder).complete
    return folder


@pytest.fixture
def run(recorded, tmp_path):
    shutil.copytree(recorded, tmp_path / "run")
    return tmp_path / "run"


def largest(run):
    return max(run.glob("*.baj"), key=lambda path: path.stat().st_size)


def flip(run):
    path = largest(run)
    data = bytearray(path.read_bytes())
    at = [at for at in range(len(data)) if data.startswith(SYNC, at)]
    # A figure that no rule looks at: all that is wrong with the record is its checksum.
    data[at[len(at) // 2] + RECORD.fields["nbytes"][1]] ^= 1
    path.write_bytes(bytes(data))


def cut(run):
    path = largest(run)
    path.write_bytes(path.read_bytes()[:-100])


def remove(run):
    """Takes away what one worker logged: the process that consumes has the largest file."""
    min(run.glob("*.baj"), key=lambda path: path.stat().st_size).unlink()


def mark(run):
    (run / "attempt-0000-rank-0000-log-stopped.failed").write_text("No space left on device")


DAMAGES = {
    flip: "bytes dropped; 1 event missing",
    cut: "bytes dropped",
    remove: "batches whose making is not in the log",
    mark: "No space left on device",
}
each_damage = pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)


def command(*arguments):
    """The exit code, standard output and standard error."""
    done = CliRunner().invoke(main, [*map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def in_one_line(text):
    return " ".join(text.split())


# -- every face says so ---------------------------------------------------------------------------


@each_damage
def test_the_report_knows(run, damage):
    damage(run)
    report = ba.report_of(run)
    assert not report.complete and not report.log.complete
    assert DAMAGES[damage] in incomplete.missing(report)
    assert incomplete.missing(report).endswith("; what is missing may hold duplicates")


@each_damage
def test_the_command_says_it_first_and_exits_with_3(run, damage):
    damage(run)
    code, text, _ = command("report", run)
    assert code == 3
    assert text.startswith("INCOMPLETE: ")
    assert DAMAGES[damage] in in_one_line(text)
    assert "not whole" not in text  # once is enough
    assert text.splitlines()[-1].startswith("log: ")


@each_damage
def test_the_document_says_it(run, damage):
    damage(run)
    code, text, said = command("report", run, "--json")
    document = json.loads(text)
    assert code == 3
    assert (document["complete"], document["log"]["complete"]) == (False, False)
    assert document["log"] == ba.report_of(run).log.counts
    assert said.startswith("INCOMPLETE: ")


@each_damage
def test_pages_notebooks_comments_and_text_say_it(run, damage, tmp_path):
    damage(run)
    report = ba.report_of(run)
    page, fragment = as_page(report), as_fragment(report)
    assert "<title>INCOMPLETE, batchaudit:" in page
    for html in (page, fragment):
        head = html[: html.index("<h1>")]
        assert '<p class="banner incomplete" role="alert"><strong>INCOMPLETE</strong>: ' in head
        assert DAMAGES[damage] in head
    assert report.to_markdown().startswith("### ⚠️ INCOMPLETE\n\n**INCOMPLETE**: ")
    assert str(report).startswith("INCOMPLETE: ") and repr(report) == str(report)
    assert all(
        "INCOMPLETE: " in report.plot(kind, Figure()).get_title(loc="left") for kind in ("unique", "lanes")
    )
    report.save(tmp_path / "report.json")
    assert ba.Report.load(tmp_path / "report.json").log == report.log


@each_damage
def test_assertions_fail_with_it(run, recorded, damage):
    damage(run)
    report = ba.report_of(run)
    for check in (ba.testing.assert_no_findings, ba.testing.assert_unique_batches):
        with pytest.raises(AssertionError, match=r"the log is INCOMPLETE: ") as raised:
            check(report)
        assert DAMAGES[damage] in in_one_line(str(raised.value))
    with pytest.raises(AssertionError, match="INCOMPLETE: the log of B is not whole"):
        ba.testing.assert_same_stream(recorded, run)
    with pytest.raises(AssertionError, match="the log is INCOMPLETE: "):
        ba.testing.assert_same_stream(ba.report_of(recorded), report)


@each_damage
def test_a_comparison_says_of_which_run(run, recorded, damage):
    damage(run)
    for sides, name in (((recorded, run), "B"), ((run, recorded), "A")):
        code, text, _ = command("diff", *sides)
        assert code == 3
        assert in_one_line(text).startswith(f"INCOMPLETE: the log of {name} is not whole")
        assert [line.split(": ")[0] for line in text.splitlines()[-2:]] == ["log of A", "log of B"]
        document = json.loads(command("diff", *sides, "--json")[1])
        assert (document["complete"], document["same"]) == (False, False)
        whole, broken = (document[f"run_{side}"]["log"] for side in ("ab" if name == "B" else "ba"))
        assert (whole["complete"], broken["complete"]) == (True, False)
    code, text, _ = command("diff", run, run)
    assert code == 3 and in_one_line(text).startswith("INCOMPLETE: the logs of A and B are not whole")


def test_a_whole_log_says_nothing_of_it(recorded):
    report = ba.report_of(recorded)
    faces = [str(report), as_page(report), as_fragment(report), report.to_markdown(), report.to_json()]
    assert not any("INCOMPLETE" in face for face in faces)
    assert "INCOMPLETE" not in report.plot("unique", Figure()).get_title(loc="left")
    code, text, _ = command("report", recorded)
    assert code == 0
    assert text.splitlines()[-1] == f"log: {report.log.line}"
    assert report.log.records == len(ba.load(recorded).events) > 32


def test_of_several_runs_the_line_is_of_all_and_a_note_says_which_lacks_something(run, recorded):
    flip(run)
    code, text, _ = command("report", recorded, run)
    both = [ba.report_of(folder).log for folder in (recorded, run)]
    assert code == 3
    assert text.startswith("INCOMPLETE: ")
    assert f"note: {run}: the log is not whole" in in_one_line(text)
    assert f"note: {recorded}: the log" not in in_one_line(text)
    assert text.splitlines()[-1].startswith(f"log: {both[0].records + both[1].records:,} records read")


def test_a_report_that_was_saved_without_its_log_still_loads(run, tmp_path):
    flip(run)
    ba.report_of(run).save(tmp_path / "new.json")
    document = json.loads((tmp_path / "new.json").read_text())
    del document["log"]
    (tmp_path / "old.json").write_text(json.dumps(document))
    old = ba.Report.load(tmp_path / "old.json")
    assert not old.complete and old.log.files == 0
    code, text, _ = command("report", tmp_path / "old.json")
    assert code == 3
    assert text.startswith("INCOMPLETE: part of the log is missing or damaged; what is missing may hold")
    assert "log: " not in text  # none was read


@pytest.mark.parametrize(
    ("name", "value"), [("records", "many"), ("gaps", -1), ("failures", "none"), ("gaps", True)]
)
def test_a_saved_log_that_is_none_is_damage(recorded, tmp_path, name, value):
    ba.report_of(recorded).save(tmp_path / "report.json")
    document = json.loads((tmp_path / "report.json").read_text())
    document["log"][name] = value
    (tmp_path / "report.json").write_text(json.dumps(document))
    with pytest.raises(ba.UsageError, match=f"is damaged.*log.{name} is no"):
        ba.Report.load(tmp_path / "report.json")


# -- what may be concluded ------------------------------------------------------------------------


@each_damage
def test_nothing_is_ruled_out_and_nothing_found_in_a_healthy_training(run, recorded, damage):
    def verdicts(report):
        return {one.cause: one for one in (*report.runs[0].verdicts, *report.across_verdicts)}

    assert "ruled out" in {one.verdict for one in verdicts(ba.report_of(recorded)).values()}
    damage(run)
    report = ba.report_of(run)
    assert report.findings == ()
    assert {one.verdict for one in verdicts(report).values()} == {"not observable"}
    assert "the log is incomplete" in verdicts(report)["unsharded-replica"].reason


def test_what_is_there_is_still_found(tmp_path):
    class Same(torch_data.IterableDataset):
        def __iter__(self):
            return iter(np.arange(96, dtype=np.float32).reshape(24, 4))

    with ba.Audit(tmp_path / "run") as audit:
        for _ in audit.wrap(torch_data.DataLoader(Same(), batch_size=2, num_workers=2), name="train"):
            pass
    found = {finding.cause for finding in ba.report_of(tmp_path / "run").findings}
    cut(tmp_path / "run")
    report = ba.report_of(tmp_path / "run")
    assert {finding.cause for finding in report.findings} == found == {"unsharded-replica"}
    code, text, _ = command("report", tmp_path / "run")
    assert code == 3 and text.startswith("INCOMPLETE: ")  # comes before the finding's 1


# -- modes ----------------------------------------------------------------------------------------


@each_damage
def test_strict_refuses_with_3_and_one_line(run, recorded, damage):
    assert command("report", recorded, "--mode", "strict")[0] == 0
    assert command("diff", recorded, recorded, "--mode", "strict")[0] == 0
    damage(run)
    for arguments in (("report", run), ("diff", recorded, run)):
        code, text, said = command(*arguments, "--mode", "strict")
        assert (code, text) == (3, "")
        assert len(said.splitlines()) == 1
        assert said.startswith("Error: the log in ") and DAMAGES[damage] in said
    with pytest.raises(ba.BatchauditError, match="is not complete"):
        ba.report_of(run, mode="strict")


def test_strict_refuses_a_report_that_was_saved_of_such_a_log(run, tmp_path):
    flip(run)
    ba.report_of(run).save(tmp_path / "report.json")
    code, text, said = command("report", tmp_path / "report.json", "--mode", "strict")
    assert (code, text) == (3, "") and "is not complete" in said


def test_salvage_takes_what_does_not_verify_and_says_so(run):
    flip(run)
    tolerant, salvaged = ba.report_of(run), ba.report_of(run, mode="salvage")
    assert (salvaged.log.unverified, salvaged.log.records) == (1, tolerant.log.records + 1)
    assert not salvaged.complete and salvaged.findings == ()
    flags = ba.load(run, mode="salvage").events["flags"].to_numpy()
    assert int((flags & 64 > 0).sum()) == 1
    code, text, _ = command("report", run, "--mode", "salvage")
    assert code == 3
    assert text.startswith("INCOMPLETE: 1 event not verified; what is missing may hold duplicates")
    assert "note: 1 record could not be verified and may be wrong" in in_one_line(text)
    assert text.splitlines()[-1].endswith(", 1 not verified")


def test_another_mode_is_bad_usage(recorded):
    with pytest.raises(ba.UsageError, match="expected one of strict, tolerant, salvage"):
        ba.report_of(recorded, mode="lenient")
    assert command("report", recorded, "--mode", "lenient")[0] == 2


# -- in tests -------------------------------------------------------------------------------------


def test_a_run_of_pytest_says_it(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import numpy as np\n"
        "from pathlib import Path\n"
        "def test_it(batch_audit, tmp_path):\n"
        "    (tmp_path / 'lost.failed').write_text('No space left on device')\n"
        "    make = lambda: iter([np.full(4, float(n)) for n in range(6)])\n"
        "    assert not batch_audit(make, ['serial'], epochs=1, out=tmp_path).complete\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=it.xml", "test_it.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = "INCOMPLETE: lost: No space left on device; what is missing may hold duplicates"
    assert done.returncode == 0, done.stdout
    assert said in done.stdout
    values = [one.get("value") for one in ElementTree.parse(tmp_path / "it.xml").iter("property")]
    assert any(value.startswith(said) for value in values)
