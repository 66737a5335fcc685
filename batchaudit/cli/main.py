"""The group of commands, and what becomes of the exceptions that end one."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

import batchaudit
from batchaudit.cli.audit import audit
from batchaudit.cli.demo import demo
from batchaudit.cli.diff import diff
from batchaudit.cli.exit_codes import ExitCode
from batchaudit.cli.explain import explain
from batchaudit.cli.report import report
from batchaudit.cli.run import run
from batchaudit.errors import AnalysisError, BatchauditError, JournalError, WorkerError
from batchaudit.untrusted import shown


class _Group(click.Group):
    """Turns exceptions into one message and an exit code that says what happened."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever read our output has left; a second failure while Python flushes would only add noise.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            ctx.exit(ExitCode.BROKEN_PIPE)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(ExitCode.INTERRUPTED)
        except BatchauditError as error:
            click.echo(f"Error: {shown(str(error))}", err=True)
            ctx.exit(_code(error))
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception:
            import traceback

            click.echo(traceback.format_exc(), err=True)
            click.echo(
                "Error: this is a defect of batchaudit; please report it with the lines above.", err=True
            )
            ctx.exit(ExitCode.INTERNAL)


def _code(error: BatchauditError) -> ExitCode:
    return (
        ExitCode.INCOMPLETE
        if isinstance(error, (AnalysisError, JournalError, WorkerError))
        else ExitCode.USAGE
    )


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 nothing at or above --fail-on; 1 findings at or above it; 2 bad usage or a target "
    "that cannot be loaded; 3 an incomplete or unreadable log, or a run that ended early.",
)
@click.version_option(batchaudit.__version__, prog_name="batchaudit")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Are the batches that reach your model the batches you think they are?"""
    # Every process of an audit would print TensorFlow's notes about the machine; what the user has set stays.
    # A script of the user's own prints what it always prints.
    if ctx.invoked_subcommand != run.name:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Names in a log may hold what the terminal's encoding lacks: that is no reason to fail.
            stream.reconfigure(errors="backslashreplace")


main.add_command(audit)
main.add_command(demo)
main.add_command(diff)
main.add_command(explain)
main.add_command(report)
main.add_command(run)
