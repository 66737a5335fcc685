"""`batchaudit demo`: the built-in real pipelines."""

from __future__ import annotations

import click

_EPOCHS = 3


@click.command()
@click.option("--out", metavar="DIR", help="Keep the images and the logs in this folder.")
def demo(out: str | None) -> None:
    """Show on real pipelines what workers do to batches: no argument, no network, at most two minutes."""
    from batchaudit.cli import output
    from batchaudit.cli.progress import progress

    if out is not None:
        output.check_folder("--out", out)
    from batchaudit.demo import run_demo

    with progress(_EPOCHS, None) as on_progress:
        run_demo(on_line=click.echo, on_progress=on_progress, out=out)
