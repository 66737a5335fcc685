"""`batchaudit demo`: the built-in real pipelines."""

from __future__ import annotations

import click


@click.command()
@click.option("--out", metavar="DIR", help="Keep the images and the logs in this folder.")
def demo(out: str | None) -> None:
    """Show on real pipelines what workers do to batches: no argument, no network, at most two minutes."""
    from batchaudit.cli import output
    from batchaudit.cli.progress import progress
    from batchaudit.demo import EPOCHS, run_demo

    if out is not None:
        output.check_folder("--out", out)
    with progress(EPOCHS, None) as on_progress:
        run_demo(on_line=lambda line: click.echo(line), on_progress=on_progress, out=out)
