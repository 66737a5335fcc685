"""The chapters: which pipelines, under which strategies, and what is said of them.

No sentence holds a figure, or draws a conclusion, that the report does not give: shares and races differ
from one run to the next. Requires Keras 3 and tf_keras.
"""

from __future__ import annotations

from functools import partial

from batchaudit.demo import sources
from batchaudit.demo.figures import Figures, percents, ratios, span
from batchaudit.demo.model import Case, Chapter, Look

WORKERS = 4
FORK, FORK_INHERIT, FORK_FRESH = "fork:4", "fork:4,seed=inherit", "fork:4,seed=fresh"
TWO_FRESH = "fork:2,seed=fresh"
THREADS, TF_KERAS_THREADS, KERAS_THREADS = "threads:4", "tf_keras-threads:4", "keras-threads:4"
TF_KERAS, KERAS = "tf_keras-processes:4", "keras-processes:4"

PLAIN, LOCKED = "generator", "generator behind a lock"
RANDOM = "np.random generator"
WRAPPED = "in a generator"
LOOKED_AT, WRAPPED_SEEDED = "in a generator, looked at before", "in a generator, seed=7"
SEQUENCE, DATASET, DATASET_SEEDED = "tf_keras Sequence", "Keras 3 PyDataset", "Keras 3 PyDataset, seed=7"
NOISY, NOISY_BY_INDEX = "np.random noise", "noise seeded by (epoch, index)"
ONE_PASS = "generator in tf.data"


def _ended(figures: Figures) -> str:
    """What to say of a run that did not go to its end; "" of one that did."""
    if not figures.ended:
        return ""
    return f"{figures.strategy} ended after {figures.total} batches: {figures.ended}."


# -- (a) ------------------------------------------------------------------------------------------


def tell_copies(look: Look) -> list[str]:
    """What copies of a deterministic generator do, and threads that share it."""
    serial = look(PLAIN, "serial")
    told = [_copies(serial, look(PLAIN, strategy)) for strategy in (FORK, TF_KERAS)]
    told.append(_sharing(look(PLAIN, THREADS)))
    told.append(_sharing(look(PLAIN, TF_KERAS_THREADS)))
    return [*told, _behind_a_lock(look(LOCKED, THREADS))]


def _copies(serial: Figures, forked: Figures) -> str:
    if forked.ended:
        return _ended(forked)
    said = f"{forked.strategy}: {forked.different} batches of an epoch are different"
    if forked.over_all < serial.over_all:
        said += f", and {serial.over_all - forked.over_all} of the source's {serial.over_all} never came"
    floor = [-(-number // WORKERS) for number in forked.delivered]
    if list(forked.unique) == floor:
        return f"{said}. That is total/{WORKERS}, as in the notes."
    if forked.all_different:
        return f"{said}: not what the notes say."
    shares = "; ".join("+".join(map(str, epoch)) for epoch in forked.shares)
    return (
        f"{said}. Total/{WORKERS} would be {span(floor)}: it takes equal shares, and workers that stay in "
        f"step (the shares were {shares})."
    )


def _sharing(threads: Figures) -> str:
    race = threads.found("shared-state-race")
    if race is None:
        return _ended(threads) or (
            f"{threads.strategy}: no two threads met in the generator this time, and {threads.different} "
            "batches are different; nothing keeps them apart."
        )
    refused = race.evidence.get("threads_refused")
    if threads.ended:
        return f"{_ended(threads)} Its threads share one generator that is not safe."
    if refused is None:
        return f"{threads.strategy}: {race.summary}"
    return (
        f"{threads.strategy}: {refused} of {WORKERS} threads met another in the generator and ended ("
        f"'generator already executing'); the rest delivered {threads.different} different batches."
    )


def _behind_a_lock(threads: Figures) -> str:
    if threads.ended or threads.causes:
        return _ended(threads) or f"Behind a lock: {threads.findings[0].summary}"
    said = f"Behind a lock {threads.strategy} is safe: {threads.different} different"
    if threads.all_different:
        return said + "."
    return said + " (threads may change the order of two batches, also over an epoch's end)."


# -- (b) ------------------------------------------------------------------------------------------


def tell_seeds(look: Look) -> list[str]:
    """What NumPy's stream does in copies: inherited, reseeded, and as tf_keras leaves it."""
    inherit, fresh, today = (look(RANDOM, strategy) for strategy in (FORK_INHERIT, FORK_FRESH, TF_KERAS))
    told = [_ended(run) or _stream(run) for run in (inherit, fresh, today)]
    if inherit.found("rng-clone") and fresh.all_different and not fresh.causes:
        told.append("So reseeding each process repairs it, as the notes say.")
    if today.found("rng-clone"):
        told.append("But fit() reseeds nothing today: under tf_keras the copies draw alike.")
    return told


def _stream(run: Figures) -> str:
    return f"{run.strategy}: {run.different} batches are different, seed divergence {ratios(run.divergence)}."


# -- (c) ------------------------------------------------------------------------------------------


def tell_images(look: Look) -> list[str]:
    """What becomes of an ImageDataGenerator, in a generator and as the Sequence it is."""
    told = [
        *_never_apart([look(WRAPPED, FORK_INHERIT), look(WRAPPED, TF_KERAS)]),
        *_apart_from_the_start(look(WRAPPED, FORK_FRESH)),
        *_first_pass([look(LOOKED_AT, FORK_FRESH), look(LOOKED_AT, TWO_FRESH)]),
        *_seeded([look(WRAPPED_SEEDED, FORK_FRESH), look(WRAPPED_SEEDED, TF_KERAS)]),
    ]
    dealt = [look(SEQUENCE, TF_KERAS), look(DATASET, KERAS), look(DATASET_SEEDED, KERAS)]
    return told + _dealt_out(dealt)


def _never_apart(runs: list[Figures]) -> list[str]:
    told = [_ended(run) for run in runs if run.ended]
    # One last epoch whose states were the same in all copies: what they have drawn by then was, too.
    clones = [run for run in runs if not run.ended and run.found("rng-clone") and run.divergence[-1] == 0]
    if clones:
        each = " and ".join(f"{run.different} under {run.strategy}" for run in clones)
        told.append(
            "Today nothing is reseeded, and the copies shuffle and shift alike to the last epoch: "
            f"{each} are different, seed divergence {ratios(_divergences(clones))}. They do not diverge."
        )
    return told + [_stream(run) for run in runs if run not in clones and not run.ended]


def _apart_from_the_start(run: Figures) -> list[str]:
    if run.ended:
        return [_ended(run)]
    said = f"{run.strategy}, which reseeds as old versions did: {run.different} batches are different"
    if max(run.coverage) > 0.95:
        return [f"{said}, and an epoch holds {percents(run.coverage)} of the images."]
    return [
        f"{said}, but each copy shuffles for itself: an epoch holds {percents(run.coverage)} of the images. "
        "They are apart from the start."
    ]


def _first_pass(runs: list[Figures]) -> list[str]:
    told = []
    for run in runs:
        if run.ended:
            told.append(_ended(run))
            continue
        # The batch that was looked at is missing from a copy's first pass over the images.
        through = sum(total >= run.delivered[0] for total in run.by_worker)
        told.append(
            f"Looked at before the fork, so that the order exists, and reseeded ({run.strategy}): "
            f"{len(run.by_worker)} copies go through one order, shifted otherwise, and an epoch holds "
            f"{percents(run.coverage)} of the images{_how_far(run, through)}."
        )
    return told


def _how_far(run: Figures, through: int) -> str:
    copies, epochs = len(run.by_worker), len(run.delivered)
    if not through:
        return f". A copy's first epoch is its own: no copy comes to its end in {epochs} of fit's"
    if through == copies and run.coverage[-1] > run.coverage[0]:
        return ": when each has gone through it once, they diverge. So the notes' story holds here"
    return f"; {through} of the {copies} copies went through it and shuffled anew within {epochs} epochs"


def _seeded(runs: list[Figures]) -> list[str]:
    told = [_ended(run) for run in runs if run.ended]
    alike = [run for run in runs if not run.ended and not run.all_different]
    if alike:
        each = " and ".join(f"{run.different} under {run.strategy}" for run in alike)
        told.append(
            "With a seed each copy seeds NumPy by its own count before every batch, whatever was seeded "
            f"before: {each} are different."
        )
    return told + [_stream(run) for run in runs if run.all_different]


def _dealt_out(runs: list[Figures]) -> list[str]:
    told = [_ended(run) for run in runs if run.ended]
    clones = [run for run in runs if run.found("rng-clone") and run.all_different]
    if clones:
        coverage = percents([value for run in clones for value in run.coverage])
        names = " and ".join(dict.fromkeys(run.strategy for run in clones))
        told.append(
            f"As the Sequence it is, its indices are dealt out: under {names} an epoch holds {coverage} of "
            "the images and no batch twice; but workers draw the same shifts (seed divergence "
            f"{ratios(_divergences(clones))})."
        )
    return told + [_stream(run) for run in runs if run not in clones and not run.ended]


def _divergences(runs: list[Figures]) -> list[float]:
    return [value for run in runs for value in run.divergence]


# -- (d) ------------------------------------------------------------------------------------------


def tell_augmentation(look: Look) -> list[str]:
    """What np.random draws in the workers of a PyDataset."""
    processes, threads = look(NOISY, KERAS), look(NOISY, KERAS_THREADS)
    repaired = look(NOISY_BY_INDEX, KERAS)
    told = [_ended(processes) or _drawn(processes)]
    told += [
        f"{processes.strategy}: {found.summary}"
        for cause in ("rng-clone", "rng-epoch-reset")
        if (found := processes.found(cause)) is not None
    ]
    told.append(_ended(threads) or _drawn(threads, "its threads share one stream"))
    told.append(
        _ended(repaired) or "The repair: noise from a generator of the batch's own. " + _drawn(repaired)
    )
    return told


def _drawn(run: Figures, why: str = "") -> str:
    epochs = len(run.delivered)
    said = f"{run.strategy}: {run.over_all} of the {run.total} batches of {epochs} epochs are different"
    if run.causes:
        return said + "."
    return said + (f"; {why}" if why else "") + ". Nothing was found."


# -- (e) ------------------------------------------------------------------------------------------


def tell_interleaved(look: Look) -> list[str]:
    """What one and four interleaved copies deliver."""
    one, four = look(ONE_PASS, "tf.data:1"), look(ONE_PASS, "tf.data:4")
    told = [_ended(one) or f"One copy: {one.different} batches of an epoch are different."]
    if four.ended:
        return [*told, _ended(four)]
    said = f"{WORKERS} interleaved copies: {four.different} batches of an epoch are different"
    if four.unique == one.unique and four.delivered == tuple(WORKERS * number for number in four.unique):
        said += (
            f". That is total/{WORKERS}, but of an epoch {WORKERS} times as long: nothing is lost, and each "
            f"batch comes {WORKERS} times"
        )
    return [*told, said + "."]


CHAPTERS = (
    Chapter(
        "(a) a deterministic generator over the files",
        (
            Case(
                PLAIN,
                sources.in_order,
                ("serial", FORK, TF_KERAS, THREADS, TF_KERAS_THREADS),
                endless=True,
            ),
            Case(LOCKED, sources.in_order_locked, (THREADS,), endless=True),
        ),
        "n forked copies of a generator give total/n different batches; threads share one generator, and are "
        "safe only if it is.",
        tell_copies,
    ),
    Chapter(
        "(b) the same, drawing its batches with NumPy's random numbers",
        (Case(RANDOM, sources.at_random, ("serial", FORK_INHERIT, FORK_FRESH, TF_KERAS), endless=True),),
        "NumPy's stream reseeded in each process repairs it.",
        tell_seeds,
    ),
    Chapter(
        "(c) ImageDataGenerator flowing from the folder, shuffled and shifted",
        (
            Case(
                WRAPPED,
                sources.images_in_generator,
                ("serial", FORK_INHERIT, TF_KERAS, FORK_FRESH),
                endless=True,
                key=sources.file_numbers,
            ),
            Case(
                LOOKED_AT,
                partial(sources.images_in_generator, looked_at=True),
                (FORK_FRESH, TWO_FRESH),
                endless=True,
                key=sources.file_numbers,
            ),
            Case(
                WRAPPED_SEEDED,
                partial(sources.images_in_generator, seed=7),
                (FORK_FRESH, TF_KERAS),
                endless=True,
                key=sources.file_numbers,
            ),
            Case(SEQUENCE, sources.tf_keras_images, ("serial", TF_KERAS)),
            Case(DATASET, sources.keras_images, (KERAS,)),
            Case(DATASET_SEEDED, partial(sources.keras_images, seed=7), (KERAS,)),
        ),
        "an ImageDataGenerator under processes repeats its first epoch, and then diverges.",
        tell_images,
    ),
    Chapter(
        "(d) a Keras 3 PyDataset that adds noise",
        (
            Case(NOISY, sources.Noisy, ("serial", KERAS, KERAS_THREADS), key=sources.file_numbers),
            Case(NOISY_BY_INDEX, sources.NoisyByIndex, (KERAS,), key=sources.file_numbers),
        ),
        "nothing: they are older than Keras 3.",
        tell_augmentation,
    ),
    Chapter(
        "(e) tf.data from the generator of (a)",
        (Case(ONE_PASS, sources.one_pass, ("tf.data:1", "tf.data:4")),),
        "nothing of tf.data; by their arithmetic n copies give total/n different batches.",
        tell_interleaved,
    ),
)
"""What the demo plays, in order."""
