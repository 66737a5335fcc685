"""`batchaudit audit TARGET`: drives a target under each strategy and says what it saw."""

from __future__ import annotations

import click

from batchaudit.cli.exit_codes import FAIL_ON, of_report
from batchaudit.cli.options import Files, Kept, files_options, kept_options


@click.command()
@click.argument("target")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="S",
    help="How to drive workers, such as serial, threads:4, fork:4, spawn:4, tf_keras-processes:4, "
    "keras-processes:4, tf.data:4 or as-is; may be given several times. Default: the source's own worker "
    "settings where it has some, else serial, threads:4 and fork:4.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Epochs to drive each time.",
)
@click.option(
    "--steps-per-epoch", type=click.IntRange(min=1), help="Batches of an epoch; an endless source needs it."
)
@click.option(
    "--key",
    metavar="MODULE:FUNCTION",
    help="Given a batch, returns one id a sample: which stored item it came from.",
)
@click.option("--name", help="What to call the source. Default: the name of the target.")
@click.option("--out", metavar="DIR", help="Keep the log in this folder, for 'batchaudit report'.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@files_options
@kept_options
@click.option(
    "--fail-on",
    type=click.Choice(FAIL_ON),
    default="error",
    show_default=True,
    help="Exit with 1 if there is a finding of this severity or above.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Give workers up after so long without a batch.",
)
@click.option(
    "--probes/--no-probes",
    "probing",
    default=True,
    show_default=True,
    help="Small experiments for what the strategies alone do not show: the same index for every worker, an "
    "order and its reverse, twice the workers, ...",
)
@click.option(
    "--probe",
    "some_probes",
    multiple=True,
    metavar="NAME",
    help="Only this probe; may be given several times.",
)
@click.option(
    "--probe-seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the probes may take, all together.",
)
@click.option(
    "--advise/--no-advise",
    default=None,
    help="Time the strategies, and the others that could drive the source, and say which is worth its cost; "
    "some seconds for each. Default: no timing of its own, and advice from the audit's own rates.",
)
@click.option(
    "--step-time",
    metavar="SECONDS|RUN",
    help="What a training step takes, or the folder of a watched training that shows it: does the training "
    "wait for its data?",
)
@click.pass_context
def audit(
    ctx: click.Context,
    target: str,
    strategies: tuple[str, ...],
    epochs: int,
    steps_per_epoch: int | None,
    key: str | None,
    name: str | None,
    out: str | None,
    as_json: bool,
    files: Files,
    kept: Kept,
    fail_on: str,
    timeout: float,
    probing: bool,
    some_probes: tuple[str, ...],
    probe_seconds: float,
    advise: bool | None,
    step_time: str | None,
) -> None:
    """Audit TARGET before training: are its batches different under every way of running workers?

    TARGET is module:attr or path/to/file.py:attr, where attr is a callable that takes nothing and returns a
    fresh source (a generator, a Keras Sequence or PyDataset, a tf.data.Dataset), or is a source itself.
    """
    from batchaudit import probes
    from batchaudit.cli import output

    document = output.take_stdout() if as_json else None
    _check(strategies, out, files)
    kept.check()
    asked_probes = some_probes if some_probes and probing else probing
    probes.check(asked_probes)
    # pandas and the renderers come later: nothing is imported into an audited process that it does not need.
    from batchaudit import auditing
    from batchaudit.cli.progress import progress
    from batchaudit.cli.target import load, load_function

    source = load(target)
    ids = load_function(key) if key is not None else None
    with progress(epochs, steps_per_epoch) as on_progress:
        report = auditing.audit(
            source,
            list(strategies) or None,
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            key=ids,
            name=name,
            out=out,
            timeout=timeout,
            probes=asked_probes,
            probe_seconds=probe_seconds,
            advise=bool(advise),
            step_time=_seconds(step_time),
            max_bytes=kept.max_bytes,
            key_file=kept.key_file,
            on_progress=on_progress,
        )
    output.show(report, document, files)
    ctx.exit(of_report(report, fail_on))


def _seconds(given: str | None) -> float | str | None:
    """A number of seconds, or the folder of a run."""
    try:
        return None if given is None else float(given)
    except ValueError:
        return given


def _check(strategies: tuple[str, ...], out: str | None, files: Files) -> None:
    """Refuses what can be refused before the target is loaded, which may take minutes.

    The frameworks that the strategies need are left to the audit: the target may set what they read when they
    are imported, such as KERAS_BACKEND.
    """
    from batchaudit.cli.output import check_folder
    from batchaudit.strategies.spec import parse

    for text in strategies:
        parse(text)
    if out is not None:
        check_folder("--out", out)
    files.check()
