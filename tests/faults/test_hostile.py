"""What comes from elsewhere, a log or a saved report, is data: read, counted, refused, and never obeyed."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from markdown_it import MarkdownIt

import batchaudit as ba
from batchaudit import reporting, untrusted
from batchaudit.cli.main import main
from batchaudit.comparing import compare
from batchaudit.errors import AnalysisError, BatchauditError, JournalError, UsageError
from batchaudit.journal import walk
from batchaudit.journal.header import MAGIC, Header, encode_header, find_header
from batchaudit.journal.layout import FIXED, HEAD, SYNC, Event, Flag, Stage
from batchaudit.journal.manifest import Asked, Manifest
from batchaudit.journal.reader import load
from batchaudit.journal.scan import scan
from batchaudit.regular import open_regular, read_regular
from batchaudit.report.files import load as load_report
from tests.faults import forging

KEY = 0xABCDEF
SAID = {
    "run": "r",
    "source": "train",
    "strategy": "live",
    "attempt": 0,
    "rank": 0,
    "world": 1,
    "host": "h",
    "pid": 1,
}


def events(count=6):
    made = []
    for number in range(count):
        fields = {
            "step": number,
            "epoch": 0,
            "digest_lo": number + 1,
            "began_ns": number,
            "ended_ns": number + 1,
            "flags": Flag.CONSUMED,
        }
        made.append(Event(Stage.PRODUCED, samples=np.array([number], np.uint64), **fields))
    return made


def journal(folder, name="good.baj", key=KEY, of=None, **said):
    (folder / name).write_bytes(
        forging.as_bytes(Header(key, key & 0xFFFFFFFF, {**SAID, **said}), of or events())
    )


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    journal(folder)
    return folder


# -- what stands in a run's folder and is no file ---------------------------------------------------


def pipe(path):
    os.mkfifo(path)


def folder_of_that_name(path):
    path.mkdir()


def listening(path):
    os.chdir(path.parent)  # the path of a socket may be of 107 bytes only
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


def device(path):
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # as /dev/zero, which never ends
        path.open("rb").close()
    except OSError as error:
        pytest.skip(f"no device can be made here: {error}")


def link_to_a_device(path):
    path.symlink_to("/dev/zero")


def link_out(path):
    outside = path.parent.parent / "outside"
    outside.write_bytes(forging.as_bytes(Header(3, 3, SAID), events()))
    path.symlink_to(outside)


def link_into_nowhere(path):
    path.symlink_to("nothing")


def link_to_itself(path):
    path.symlink_to(path.name)


def hole(path):
    with path.open("wb") as file:
        file.truncate(1 << 40)


NO_FILES = [
    pipe, folder_of_that_name, listening, device, link_to_a_device, link_out, link_into_nowhere, link_to_itself, hole,
]  # fmt: skip


@pytest.fixture(autouse=True)
def stay_here(monkeypatch):
    monkeypatch.chdir(os.getcwd())  # for those who go elsewhere


@pytest.mark.parametrize("make", NO_FILES)
def test_a_journal_that_is_no_file_is_counted_with_the_reason(run, make):
    make(run / "x.baj")
    health = load(run).health
    assert health.files_unreadable == ("x.baj",) and health.why_unreadable[0]
    assert health.records == 6 and not health.complete
    with pytest.raises(JournalError, match=r"x\.baj"):
        load(run, mode="strict")


@pytest.mark.parametrize("make", NO_FILES)
def test_a_manifest_that_is_no_file_is_counted_with_the_reason(run, make):
    make(run / "manifest-0000.json")
    report = ba.report_of(run)
    assert not report.complete
    assert report.log.files_unreadable == ("manifest-0000.json",)


@pytest.mark.parametrize("make", [one for one in NO_FILES if one is not hole])
def test_a_mark_that_is_no_file_is_a_mark(run, make):
    make(run / "attempt-0000-rank-0000-log-stopped.failed")
    (failure,) = load(run).health.failures
    assert "logging stopped" in failure


def test_of_a_mark_only_the_beginning_is_read(run):
    (run / "a.failed").write_text("x" * 10_000_000)
    assert len(load(run).health.failures[0]) < 5_000


@pytest.mark.parametrize("make", [one for one in NO_FILES if one not in (link_out, folder_of_that_name)])
def test_a_saved_report_that_is_no_file_is_refused(tmp_path, make):
    make(tmp_path / "report.json")
    with pytest.raises(UsageError, match=r"report\.json"):
        load_report(tmp_path / "report.json")


def test_a_link_to_a_journal_of_the_same_folder_is_followed(run):
    (run / "deep").mkdir()
    journal(run / "deep", "other", key=5)
    (run / "link.baj").symlink_to("deep/other")
    assert load(run).health.records == 12 and load(run).health.complete


def test_a_link_that_a_person_has_named_may_lead_anywhere(run, tmp_path):
    ba.report_of(run).save(tmp_path / "saved.json")
    (run / "named.json").symlink_to(tmp_path / "saved.json")
    assert load_report(run / "named.json").complete
    with pytest.raises(JournalError, match="leads out"):
        open_regular(run / "named.json")


def test_a_file_is_not_read_beyond_what_it_can_have_reason_to_hold(tmp_path):
    (tmp_path / "file").write_bytes(bytes(100))
    assert read_regular(tmp_path / "file", 100) == bytes(100)
    with pytest.raises(JournalError, match="100 bytes"):
        read_regular(tmp_path / "file", 99)


# -- what a header says -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"run": 5}, {"source": None}, {"strategy": []}, {"host": {}}, {"rank": "x"}, {"rank": 10**30}, {"rank": -1},
        {"attempt": -1}, {"attempt": 1.5}, {"attempt": True}, {"world": 10**9}, {"world": "2"}, {"pid": 2**63},
        {"started_ns": "now"}, {"process_started": []},
    ],
)  # fmt: skip
def test_a_header_that_says_what_no_writer_writes_is_none(run, said):
    journal(run, "forged.baj", key=9, **said)
    health = load(run).health
    assert health.files_unreadable == ("forged.baj",) and health.records == 6


@pytest.mark.parametrize(
    "metadata",
    [b"[" * 200_000, b"5", b"null", b"{", b'{"rank":' + b"1" * 5_000 + b"}", b'{"x":NaN}', b"\xff" * 8],
)
def test_metadata_that_is_no_object_is_none(run, metadata, monkeypatch):
    with monkeypatch.context() as forging_json:
        forging_json.setattr("batchaudit.journal.header._json", lambda said: metadata)
        journal(run, "forged.baj", key=9)
    assert load(run).health.files_unreadable == ("forged.baj",)


@pytest.mark.parametrize("about", [5, [], None, "x", {"items": "x", "hooks": 5, "shards": [None], "kind": 3}])
def test_what_is_said_of_the_source_is_left_out_where_it_cannot_be(run, about):
    journal(run, about=about)
    (writer,) = load(run).writers
    assert writer["about"] == {}
    assert ba.report_of(run).runs


def test_what_a_source_says_is_left_out_of_a_header_where_it_is_too_much(tmp_path):
    header = find_header(encode_header(Header(1, 1, {**SAID, "about": {"kind": "x" * (1 << 21)}})))
    assert header is not None and header.metadata["source"] == "train" and header.metadata["about"] == {}


def test_a_world_of_any_size_is_said_in_a_few_lines(run):
    journal(run, world=1 << 17)
    report = ba.report_of(run)
    assert len(report.missing_ranks) == (1 << 17) - 1
    assert len(str(report).splitlines()) < 60 and "131,071" in str(report)


def test_what_a_source_says_of_its_size_makes_no_table_of_that_size(run):
    ids = [event._replace(ids=np.array([number])) for number, event in enumerate(events())]
    journal(run, of=ids, about={"kind": "indexed", "ids": "key", "items": 2**53})
    coverage = ba.report_of(run).coverage
    assert int(coverage["items"].sum()) == 2**53 and int(coverage["seen"].sum()) == 6


# -- what takes for ever ----------------------------------------------------------------------------


def test_records_that_claim_to_be_as_long_as_the_file_cost_no_more_than_in_proportion(monkeypatch):
    begin = encode_header(Header(KEY, 1, SAID))
    count = 20_000
    claims = []
    for number in range(count):
        samples = 26 * (count - number - 1)
        claim = HEAD.pack(SYNC, 0, FIXED + 8 * samples) + bytes(8) + samples.to_bytes(4, "little")
        claims.append(claim.ljust(208, b"\0"))
    data = begin + b"".join(claims)
    hashed = 0
    real = walk.xxh3_64_intdigest

    def counted(part, seed):
        nonlocal hashed
        hashed += len(part)
        return real(part, seed)

    monkeypatch.setattr(walk, "xxh3_64_intdigest", counted)
    assert scan(data).bytes_dropped == len(data) - len(begin)
    # All of them together claim 10,000 times the file.
    assert hashed < 350 * len(data)


def test_headers_that_claim_to_be_long_cost_no_more_than_in_proportion(monkeypatch):
    claim = MAGIC + (1).to_bytes(4, "little") + (1 << 20).to_bytes(4, "little") + bytes(24)
    data = claim * 100_000
    hashed = 0

    def counted(part):
        nonlocal hashed
        hashed += len(part)
        return 1

    monkeypatch.setattr("batchaudit.journal.header.xxh3_64_intdigest", counted)
    assert find_header(data) is None
    assert hashed < 40 * len(data)


# -- values that no training gives ------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The files of real runs: an audit with its probes, and a loop that was watched twice."""

    def batches():
        for number in range(6):
            yield np.random.rand(2, 3), np.array([2 * number, 2 * number + 1])

    folder = tmp_path_factory.mktemp("real")
    ba.audit(batches, ["serial", "threads:2"], epochs=2, key=lambda batch: batch[1], out=folder / "audit")
    for _ in range(2):
        with ba.Audit(folder / "watched") as audit:
            train, val = audit.wrap([[1], [2], [3]], name="train"), audit.wrap([[2], [4]], name="val")
            for _ in range(2):
                assert [len(list(part)) for part in (train, val)] == [3, 2]
    return [forging.files_of(folder / name, 8) for name in ("audit", "watched")]


@pytest.mark.parametrize("seed", range(40))
def test_a_forged_log_is_reported_or_refused(real, tmp_path, seed):
    drawn = random.Random(seed)
    forging.write(tmp_path, forging.forged(drawn.choice(real), drawn))
    try:
        report = ba.report_of(tmp_path)
    except BatchauditError:
        return
    assert all(word not in str(report) for word in ("\x1b", "\u202e"))
    assert json.loads(report.to_json())["schema_version"] == 1
    assert "<script>" not in report.to_markdown()
    with suppress(BatchauditError):
        compare(tmp_path, tmp_path)


@pytest.mark.parametrize(
    "error", [ValueError("x"), MemoryError(), RecursionError(), KeyError("a"), ZeroDivisionError()]
)
def test_an_analysis_that_fails_says_so_and_exits_with_3(run, monkeypatch, error, capsys):
    def fails(*_):
        raise error

    monkeypatch.setattr(reporting, "diagnose", fails)
    with pytest.raises(AnalysisError, match="may be forged") as raised:
        ba.report_of(run)
    assert raised.value.__cause__ is error
    with pytest.raises(SystemExit) as left:
        main(["report", str(run)])
    assert left.value.code == 3
    assert "Traceback" not in capsys.readouterr().err


# -- names ------------------------------------------------------------------------------------------

NAME = "a\x1b]0;title\x07\x1b[2J\x9b31m\u202egnp.exe\r\n# x\u2028<script>alert(1)</script>|[l](http://x)@me ![i](x)"
UNSAFE = "\x1b\x07\x9b\u202e\r\u2028"


@pytest.fixture
def named(run):
    journal(
        run, of=[*events(), Event(Stage.RAISED, text=f"ValueError: {NAME}")], source=NAME, host=NAME, run=NAME
    )
    asked = (Asked(NAME, skipped=NAME), Asked("fork:2", error=NAME, finished=True))
    Manifest(0, NAME, strategies=asked, probes={"orders, fork:2": NAME}).write(run)
    (run / "x.failed").write_text(NAME)
    return run


def test_no_name_moves_a_terminal(named):
    report = ba.report_of(named)
    said = str(report)
    assert not set(said) & set(UNSAFE) and r"\x1b]0;title\x07" in said
    assert not set(str(compare(named, named))) & set(UNSAFE)


def test_no_name_moves_a_terminal_on_the_command_line(named):
    for arguments in (["report", named], ["diff", named, named], ["report", named / NAME.replace("/", "")]):
        done = subprocess.run(
            [sys.executable, "-m", "batchaudit", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode in (2, 3) and done.stdout + done.stderr
        assert not set(done.stdout + done.stderr) & set(UNSAFE)


def test_json_keeps_a_name_exactly(named):
    document = json.loads(ba.report_of(named).to_json())
    assert {run["source"] for run in document["runs"]} == {NAME}


def test_a_name_is_text_in_html_and_markdown(named, tmp_path):
    report = ba.report_of(named)
    report.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page.lower() and not set(page) & set(UNSAFE)
    markdown = report.to_markdown()
    assert not set(markdown) & set(UNSAFE)
    # As GitHub reads it: HTML stands in it, so what a name makes of it must not.
    read = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown).lower()
    assert "<script" not in read and "<a " not in read and "<img" not in read


def test_reports_are_written_where_they_were_told_and_nowhere_else(run, tmp_path, monkeypatch):
    journal(run, run="../../outside", source="../source", strategy="/tmp/strategy", host="../host")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    before = {path for path in tmp_path.rglob("*") if work not in path.parents}
    report = ba.report_of(run)
    for name in ("page.html", "saved.json", "comment.md"):
        report.save(name)
    assert {path.name for path in work.iterdir()} == {"page.html", "saved.json", "comment.md"}
    assert {path for path in tmp_path.rglob("*") if work not in path.parents} == before


def test_report_writes_through_no_link_that_a_run_came_with(run, tmp_path, capsys):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (run / "page.html").symlink_to(mine)
    with pytest.raises(SystemExit) as left:
        main(["report", str(run), "--html", str(run / "page.html")])
    assert left.value.code == 2 and "link out of" in capsys.readouterr().err
    assert mine.read_text() == "mine"


# -- saved reports ----------------------------------------------------------------------------------


@pytest.fixture
def saved(run, tmp_path):
    ba.report_of(run).save(tmp_path / "saved.json")
    return tmp_path / "saved.json"


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"schema_version":' + "1" * 9_000 + "}", '{"a":NaN}', '{"a":' * 9_000]
)
def test_json_that_nobody_can_follow_is_refused(saved, text):
    saved.write_text(text)
    with pytest.raises(UsageError, match="no saved report"):
        load_report(saved)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tables", "epochs", "epoch", "dtype"), "S10000000000"),
        (("tables", "epochs", "epoch", "dtype"), "datetime64[ns]"),
        (("tables", "epochs", "epoch", "dtype"), ["int64"]),
        (("tables", "epochs", "epoch", "values"), ["x"]),
        (("tables", "epochs", "epoch", "values"), [[1]]),
        (("tables", "epochs", "epoch", "values"), [1, 2, 3]),
        (("tables", "epochs", "copies", "values"), [5]),
        (("tables", "epochs", "copies", "values"), [{"@pairs": [["x", 1]]}]),
        (("tables", "epochs", "delivered"), {}),
        (("tables", "emitted", "lane", "values"), [10**9] * 6),
        (("tables", "batches", "digest", "values"), [1] * 6),
        (("tables", "epochs"), {}),
        (("runs", 0, "source"), 5),
        (("runs", 0, "attempt"), 2**64),
        (("runs", 0, "workers_configured"), "x"),
        (("runs", 0, "findings"), [{"cause": "a", "severity": "x", "scope": "", "summary": ""}]),
        (("runs", 0, "findings"), [{"cause": 1, "severity": "error", "scope": "", "summary": ""}]),
        (("runs", 0, "verdicts"), [{"cause": "a", "verdict": "\x1b", "reason": ""}]),
        (("runs",), {"a": 1}),
        (("across", "missing_ranks"), ["x"]),
        (("advice",), [{"source": 5}]),
        (("notes",), [5]),
        (("complete",), "no"),
        (("log",), []),
    ],
)  # fmt: skip
def test_a_saved_report_whose_values_are_none_of_a_report_is_refused(saved, path, value):
    document = json.loads(saved.read_text())
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    assert path[-1] in inner or isinstance(inner, list)
    inner[path[-1]] = value
    saved.write_text(json.dumps(document))
    if path == ("tables", "epochs"):  # a report without rows is one
        assert load_report(saved).epochs.empty
        return
    with pytest.raises(UsageError, match="damaged"):
        load_report(saved)


def test_evidence_is_not_followed_deeper_than_any_goes(saved):
    document = json.loads(saved.read_text())
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    finding = {
        "cause": "a",
        "severity": "info",
        "scope": "",
        "summary": "",
        "evidence": {"a": deep},
        "fix": "",
    }
    document["runs"][0]["findings"] = [finding]
    saved.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="damaged"):
        load_report(saved)


def test_what_is_shown_is_the_same_when_it_is_shown_again():
    assert untrusted.shown(untrusted.shown(NAME)) == untrusted.shown(NAME)
