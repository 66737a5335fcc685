from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from batchaudit.report.plots.style import GREY
from tests.analysis.build import Batch, many, table
from tests.report.plots.made import report, report_of, run

mpl.use("Agg")
EDGE = np.array(to_rgba(GREY))


def lanes(made, kind="lanes", **known):
    ours = report_of((run(**known), made))
    return ours, ours.plot(kind, Figure(layout="constrained"))


def marks(axes):
    """Colours and heights of marks, in the order of `Report.emitted`."""
    (shapes,) = axes.collections
    faces, edges = shapes.get_facecolors(), shapes.get_edgecolors()
    high = np.array([np.ptp(path.vertices[:, 1]) for path in shapes.get_paths()]).round(6)
    return faces, edges, high


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def ticks(axes):
    axes.figure.canvas.draw()
    return [label.get_text() for label in axes.get_xticklabels()]


def under_title(axes):
    return [text.get_text() for text in axes.texts]


def colour_of(faces, digests):
    """One colour for each digest, which is asserted."""
    found = {}
    for digest, face in zip(digests, faces, strict=True):
        assert found.setdefault(digest, tuple(face)) == tuple(face)
    return found


@pytest.mark.parametrize("sick", [True, False])
@pytest.mark.parametrize("workers", [2, 64])
def test_equal_batches_have_equal_colours_and_others_do_not(sick, workers):
    ours = report(sick, workers, 30, 1)
    axes = ours.plot("lanes", Figure())
    faces, _, _ = marks(axes)
    found = colour_of(faces, ours.emitted["digest"])
    assert len(set(found.values())) == len(found) == ours.emitted["digest"].nunique()


def test_each_of_64_batches_in_a_row_has_a_colour_of_its_own_in_a_long_run():
    ours = report(False, 64, 64 * 4_000, 1)
    axes = ours.plot("lanes", Figure())
    (image,) = axes.images
    colours = image.get_array()
    dots = colours.shape[0] // 64
    middle = colours[dots // 2 :: dots]  # (worker, place, rgba)
    assert middle.shape[0] == 64
    seen = 0
    for place in range(middle.shape[1]):
        column = middle[:, place]
        if column[:, 3].any():
            assert len({tuple(one) for one in column}) == 64
            seen += 1
    assert seen == ours.emitted["local_step"].nunique()


def test_replicas_stand_under_each_other_in_equal_colours_in_a_long_run():
    axes = report(True, 64, 64 * 4_000, 1).plot("lanes", Figure())
    (image,) = axes.images
    colours = image.get_array()
    dots = colours.shape[0] // 64
    middle = colours[dots // 2 :: dots]
    assert (middle == middle[:1]).all()


def test_what_was_made_more_than_once_is_tall():
    ours, axes = lanes(table([Batch(1, 5), Batch(2, 5), Batch(1, 6), Batch(2, 7)]))
    high = marks(axes)[2]
    assert high[0] == high[1] > high[2] == high[3]
    assert "tall: made more than once in its epoch; equal colours are equal batches" in legend(axes)
    assert "thin: made once" in legend(axes)
    assert ours.emitted["copies"].tolist() == [2, 2, 1, 1]


def test_on_a_healthy_loader_nothing_is_tall():
    axes = report(False, 2, 30).plot("lanes", Figure())
    assert len(set(marks(axes)[2])) == 1
    assert legend(axes) == ["thin: made once"]


def test_what_was_never_delivered_is_hollow():
    _, axes = lanes(table([Batch(1, 5), Batch(1, 6, epoch=None)]))
    faces, edges, _ = marks(axes)
    assert faces[:, 3].tolist() == [1, 0]
    assert edges[1] == pytest.approx(EDGE)
    assert edges[0] != pytest.approx(EDGE)
    assert "hollow: never delivered" in legend(axes)


def test_what_could_not_be_hashed_is_grey_and_thin():
    unknown = [Batch(pid, 0, flags=4) for pid in (1, 2)]
    _, axes = lanes(table([*unknown, Batch(1, 6), Batch(2, 7)]))
    faces, _, high = marks(axes)
    assert faces[0] == pytest.approx(EDGE)
    assert faces[1] == pytest.approx(EDGE)
    assert faces[2] != pytest.approx(EDGE)
    assert len(set(high)) == 1
    assert legend(axes) == ["thin: made once", "grey: could not be hashed"]


def test_nothing_is_left_out_of_a_short_run_and_nothing_is_said():
    axes = report(True, 2, 30).plot("lanes", Figure())
    assert len(marks(axes)[0]) == 30
    assert not [text for text in under_title(axes) if "shown" in text]
    assert "…" not in "".join(ticks(axes))


def test_what_is_left_out_of_a_long_run_is_said():
    epochs, workers, steps = 20, 100, 200
    epoch = np.repeat(np.arange(epochs), workers * steps)
    pid = np.tile(np.arange(workers), steps * epochs)
    _, axes = lanes(many(pid, np.arange(len(pid)) + 1, epoch))
    said = " ".join(" ".join(under_title(axes)).split())
    assert "6 of 20 epochs, the first and the last ones" in said
    assert "60 of the 200 steps of an epoch, its beginning and its end" in said
    assert "64 of 100 workers" in said
    shown = ticks(axes)
    assert "…" in shown  # where steps are left out
    assert [text.strip() for text in shown if "epoch" in text] == [
        "epoch 0", "epoch 1", "epoch 2", "… epoch 17", "epoch 18", "epoch 19",
    ]  # fmt: skip


@pytest.mark.parametrize(("steps", "said"), [(360, False), (361, True)])
def test_the_first_step_too_many_is_said(steps, said):
    _, axes = lanes(many(np.ones(steps, int), np.arange(steps) + 1, np.zeros(steps, int)))
    assert any("shown:" in text for text in under_title(axes)) is said


def test_each_worker_has_its_name_or_every_few_have():
    few = report(True, 2, 30).plot("lanes", Figure())
    assert [label.get_text() for label in few.get_yticklabels()] == ["worker 0", "worker 1"]
    many_of_them = report(True, 64, 300_000).plot("lanes", Figure())
    names = [label.get_text() for label in many_of_them.get_yticklabels()]
    assert names[0] == "worker 0"
    assert 8 <= len(names) <= 16


def test_equal_states_of_workers_are_tall_and_of_one_colour():
    state = {"numpy": (7, 8)}
    made = [Batch(1, 1, states=state), Batch(2, 2, states=state), Batch(1, 3, states={"numpy": (9, 10)})]
    _, axes = lanes(table(made), "streams")
    faces, _, high = marks(axes)
    assert tuple(faces[0]) == tuple(faces[1]) != tuple(faces[2])
    assert high[0] == high[1] > high[2]
    assert "NumPy's global stream" in axes.get_title(loc="left").replace("\n", " ")


def test_an_unknown_state_is_grey_and_never_equal():
    made = [Batch(1, 1, states={"numpy": (7, 8)}), Batch(2, 2), Batch(3, 3)]
    _, axes = lanes(table(made), "streams")
    faces, _, high = marks(axes)
    assert faces[1] == pytest.approx(EDGE)
    assert faces[2] == pytest.approx(EDGE)
    assert len(set(high)) == 1
    assert "grey: not known" in legend(axes)


def test_of_several_streams_the_one_that_repeats_is_shown():
    def states(pid, step):
        return {"numpy": (pid * 100 + step, pid * 100 + step + 1), "torch": (step, step + 1)}

    made = [Batch(pid, 10 * pid + step, states=states(pid, step)) for step in (1, 2, 3) for pid in (1, 2)]
    _, axes = lanes(table(made), "streams")
    assert "torch's stream" in axes.get_title(loc="left")
    assert (marks(axes)[2] > 0.5).all()


def test_a_state_that_another_epoch_began_from_is_tall():
    made = [Batch(1, 10 + epoch, epoch, states={"python": (5, 6)}) for epoch in (0, 1)]
    _, axes = lanes(table(made), "streams")
    assert (marks(axes)[2] > 0.5).all()
