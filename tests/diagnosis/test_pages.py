"""The pages of the causes: complete, and their code is code; the most used fixes are run as they stand there."""

from __future__ import annotations

import ast
import re
import threading
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pytest

from batchaudit.diagnosis import fixes, pages

BLOCK = re.compile(r"```python\n(.*?)\n```", re.DOTALL)
MODULES = {"itertools", "keras", "math", "np", "os", "tf", "tf_keras", "threading", "torch", "wds"}
FIXES = [(cause, place) for cause in pages.CAUSES for place in pages.fixes(cause)]


def headings(text, mark):
    return [line.removeprefix(mark) for line in BLOCK.sub("", text).splitlines() if line.startswith(mark)]


def evidence(framework="", kind="", family="serial"):
    return SimpleNamespace(framework=framework, kind=kind, family=family)


def run(cause, place, **given):
    """What the code of a fix defines, given the names that are the reader's own."""
    names = dict(given)
    exec(compile(pages.fix(cause, place), f"{cause}, {place}", "exec"), names)
    return names


def test_every_file_is_the_page_of_a_cause():
    names = {path.name for path in resources.files(pages).iterdir()}
    assert {name for name in names if name.endswith(".md")} == {f"{cause}.md" for cause in pages.CAUSES}
    assert len(pages.CAUSES) == len(set(pages.CAUSES)) == 16


@pytest.mark.parametrize("cause", pages.CAUSES)
def test_a_page_has_every_heading_in_order(cause):
    text = pages.text(cause)
    assert text.startswith(f"# `{cause}`\n\n")
    assert headings(text, "# ") == [f"`{cause}`"]
    assert headings(text, "## ") == list(pages.HEADINGS)
    assert all(pages.section(cause, heading) for heading in pages.HEADINGS)


@pytest.mark.parametrize("cause", pages.CAUSES)
def test_a_summary_is_one_plain_sentence(cause):
    summary = pages.summary(cause)
    assert re.fullmatch(r"[A-Z][^.\n]*\.", summary)


@pytest.mark.parametrize("cause", pages.CAUSES)
def test_a_fix_is_under_known_headings_and_always_has_one_for_any(cause):
    places = list(pages.fixes(cause))
    assert set(places) <= set(pages.PLACES)
    assert places[-1] == pages.ANY


@pytest.mark.parametrize(("cause", "place"), FIXES)
def test_a_fix_is_a_sentence_and_one_block_of_code(cause, place):
    under = pages.fixes(cause)[place]
    [block] = BLOCK.findall(under)
    assert re.match(r"[A-Z`][^.]+\.", under)
    assert not under.startswith("```")
    assert under.endswith("```")
    assert pages.fix(cause, place) == block


@pytest.mark.parametrize(("cause", "place"), FIXES)
def test_code_parses_and_imports_the_modules_that_it_uses(cause, place):
    tree = ast.parse(pages.fix(cause, place))
    nodes = list(ast.walk(tree))
    imports = [node for node in nodes if isinstance(node, ast.Import)]
    imported = {alias.asname or alias.name for node in imports for alias in node.names}
    used = {node.id for node in nodes if isinstance(node, ast.Name)} & MODULES
    assert used == imported & MODULES


@pytest.mark.parametrize("cause", pages.CAUSES)
def test_links_go_to_reports_and_to_other_pages(cause):
    links = re.findall(r"\]\(([^)]+)\)", BLOCK.sub("", pages.text(cause)))
    pages_of_others = {f"{other}.md" for other in pages.CAUSES if other != cause}
    assert [link for link in links if not link.startswith("https://") and link not in pages_of_others] == []
    reports = pages.section(cause, "Real reports").splitlines()
    assert reports
    assert all(re.fullmatch(r"- \[[^]]+\]\(https://\S+\): .+\.", line) for line in reports)
    issues = re.findall(
        r"\[([\w.-]+/[\w.-]+)#(\d+)\]\(https://github.com/(\S+)/(?:issues|pull)/(\d+)\)", "".join(reports)
    )
    assert all((name, number) == (to, at) for name, number, to, at in issues)
    assert len(issues) + ("blog" in "".join(reports)) + ("ciFAIR" in "".join(reports)) == len(reports)


@pytest.mark.parametrize("cause", pages.CAUSES)
def test_lines_are_short_enough_to_read(cause):
    code = "\n".join(BLOCK.findall(pages.text(cause)))
    assert max(len(line) for line in code.splitlines()) <= 120
    assert "—" not in pages.text(cause)


def test_what_is_no_cause_or_heading():
    with pytest.raises(KeyError):
        pages.text("../../setup")
    with pytest.raises(KeyError):
        pages.section("rng-clone", "Nothing")


def test_a_heading_in_code_is_a_comment():
    assert pages._divided("## A\n```python\n## no\n```\n## B\nb", "## ") == [
        ("A", "```python\n## no\n```"),
        ("B", "b"),
    ]


def test_the_first_place_that_the_page_has_is_taken():
    torch = pages.fix("rng-clone", "torch")
    assert pages.fix("rng-clone", "Hugging Face datasets", "torch", "a generator") == torch
    assert "```" not in torch and "worker_init_fn" in torch


def test_any_is_taken_where_the_page_has_none():
    fallback = pages.fix("split-leak", pages.ANY)
    assert pages.fix("split-leak") == pages.fix("split-leak", "webdataset", "no such place") == fallback
    assert "order[:k]" in fallback


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"framework": "torch", "kind": "iterable"}, "torch"),
        ({"framework": "keras", "kind": "indexed", "family": "keras-processes"}, "Keras PyDataset"),
        ({"framework": "tf_keras", "kind": "indexed"}, "tf_keras Sequence"),
        ({"framework": "tf_keras", "kind": "iterator"}, "a generator"),
        ({"kind": "dataset"}, "tf.data"),
        ({"kind": "iterator", "family": "tf.data"}, "tf.data"),
        ({"framework": "keras", "kind": "dataset"}, "tf.data"),
        ({"kind": "indexed"}, "anything indexed"),
        ({"kind": "iterable"}, "a generator"),
        ({}, "any"),
    ],
)
def test_the_fix_is_the_one_for_the_source_at_hand(given, place):
    assert fixes.of("rng-clone", evidence(**given)) == pages.fix("rng-clone", place)


def test_a_torch_stream_is_told_to_share_out_in_the_stream():
    assert fixes.of("unsharded-replica", evidence("torch", "iterable")) == pages.fix(
        "unsharded-replica", "torch IterableDataset"
    )


@pytest.mark.parametrize("cause", pages.CAUSES)
def test_every_cause_has_a_fix_for_every_source(cause):
    for framework in ("", *pages.FRAMEWORKS):
        for kind in ("", "iterator", "iterable", "indexed", "dataset"):
            assert fixes.of(cause, evidence(framework, kind))


# The code as it stands on the page, run with a loader that would be sick without it.


def test_threads_share_a_locked_iterator():
    def numbers():
        yield from range(4000)

    shared, seen = run("shared-state-race", "a generator")["Locked"](numbers()), []
    threads = [threading.Thread(target=lambda: seen.extend(shared)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(4000))


def test_replicas_take_their_share_of_one_order():
    given = {"items": list("cab") * 7, "seed": 1, "epoch": 0, "replicas": 4}
    shares = [run("order-divergence", "any", replica=replica, **given)["share"] for replica in range(4)]
    assert sorted(item for share in shares for item in share) == sorted(given["items"])


def test_torch_workers_and_ranks_share_out_a_stream(monkeypatch):
    data = pytest.importorskip("torch.utils.data")
    stream = run("unsharded-replica", "torch IterableDataset")["Stream"](range(21))
    monkeypatch.setenv("WORLD_SIZE", "2")
    seen = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        seen += [int(x) for x in data.DataLoader(stream, batch_size=None, num_workers=2)]
    assert sorted(seen) == list(range(21))


class Draws:
    """A number from a generator that the dataset holds."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return int(self.rng.integers(2**40))


def test_torch_workers_are_seeded_apart_and_anew():
    data = pytest.importorskip("torch.utils.data")
    seed_worker = run("rng-clone", "torch", dataset=[0])["seed_worker"]

    def draws(**settings):
        loader = data.DataLoader(Draws(), batch_size=None, num_workers=2, **settings)
        return {int(x) for _ in range(2) for x in loader}

    assert len(draws()) == 4
    assert len(draws(worker_init_fn=seed_worker)) == 16


def test_persistent_torch_workers_are_told_the_epoch():
    data = pytest.importorskip("torch.utils.data")

    class Epochs(run("stale-epoch", "torch")["Data"]):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return int(self.epoch)

    dataset, seen = Epochs(), []
    loader = data.DataLoader(dataset, batch_size=None, num_workers=1, persistent_workers=True)
    for epoch in range(3):
        dataset.set_epoch(epoch)
        seen += [int(x) for x in loader]
    assert seen == [0, 1, 2]


def test_torch_replicas_slice_one_order_that_is_new_each_epoch():
    data = pytest.importorskip("torch.utils.data")
    stream = run("order-divergence", "torch IterableDataset")["Stream"](range(20), seed=1)
    loader = data.DataLoader(stream, batch_size=None, num_workers=3, persistent_workers=True)
    orders = []
    for epoch in range(2):
        stream.set_epoch(epoch)
        orders.append([int(x) for x in loader])
    assert [sorted(order) for order in orders] == [list(range(20))] * 2
    assert orders[0] != orders[1]


def test_a_resumed_torch_sampler_goes_on():
    pytest.importorskip("torch")

    def trained(done):
        batches = []
        at = {"epoch": 0, "samples_of_the_epoch": done}
        given = {"dataset": list(range(70)), "seed": 3, "epochs": 2, "checkpoint": at}
        run("resume-replay", "torch", train=lambda batch: batches.append(batch.tolist()), **given)
        return batches

    assert trained(32) == trained(0)[1:]
