"""The command `swarm`: finds the command meant, runs it, and turns errors into one line and an exit code.

Exit codes: 0 fine, 1 the job or command failed, 2 wrong usage, 3 no mesh or node reachable, 4 not
allowed, 130 interrupted. ``swarm --help`` imports click, this module, and the entry points of other packages.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

FAILED: Final = 1
WRONG_USAGE: Final = 2
UNREACHABLE: Final = 3
NOT_ALLOWED: Final = 4
INTERRUPTED: Final = 130

COMMANDS: Final = {
    "join": ("swarm.cli.joining", "Start this node, in the mesh of an invitation or a new one."),
    "up": ("swarm.cli.joining", "Run a mesh of N nodes on this host until interrupted."),
    "login": ("swarm.cli.joining", "Keep an invitation for later commands, without being a node."),
    "leave": ("swarm.cli.joining", "Let running tasks end, then stop this node."),
    "stop": ("swarm.cli.joining", "Stop this node at once."),
    "invite": ("swarm.cli.joining", "Print an invitation to this mesh."),
    "admit": ("swarm.cli.pairing", "Let a device in that shows a code."),
    "key": ("swarm.cli.keys", "Show or change the key of the mesh."),
    "status": ("swarm.cli.looking", "Show this node and its mesh."),
    "nodes": ("swarm.cli.looking", "List the members of the mesh."),
    "service": ("swarm.cli.services", "Publish services of this node, and show them."),
    "jobs": ("swarm.cli.looking", "List the jobs of the mesh."),
    "job": ("swarm.cli.looking", "Show a job and its tasks."),
    "logs": ("swarm.cli.looking", "Show what the tasks of a job printed."),
    "attach": ("swarm.cli.attaching", "Follow a job that was left, as its submitter."),
    "results": ("swarm.cli.looking", "Show or save the results of a job."),
    "cancel": ("swarm.cli.looking", "Cancel a job."),
    "retry": ("swarm.cli.retrying", "Run again what a job has not done."),
    "doctor": ("swarm.cli.doctoring", "Say what is wrong with this host's network, and what helps."),
    "submit": ("swarm.cli.submitting", "Run a script, a workflow or a program in the mesh."),
    "run": ("swarm.cli.running", "Run a command on chosen nodes now."),
}
"""Where each command lives, and what `swarm --help` says of it without importing it."""


class Interrupted(Exception):
    """The user pressed Ctrl-C; stands for KeyboardInterrupt, after which click prints an empty line."""


PLUGINS: Final = "swarm.commands"
"""The entry points by which other packages add commands: a click command under the name of the command."""


def plugins() -> dict[str, EntryPoint]:
    """Return the entry points of commands that are not our own, by name."""
    from importlib.metadata import entry_points

    found = {point.name: point for point in entry_points(group=PLUGINS) if point.name not in COMMANDS}
    return dict(sorted(found.items()))


def load_plugin(point: EntryPoint) -> click.Command:
    """Return the command of an entry point.

    Raises:
        ClickException: it cannot be loaded; names it and why.
    """
    try:
        command = point.load()
    except (ImportError, AttributeError) as error:
        raise click.ClickException(f"the command {point.name!r} ({point.value}) is broken: {error}") from None
    if not isinstance(command, click.Command):
        raise click.ClickException(
            f"the command {point.name!r} ({point.value}) is broken: it is no click command"
        )
    return command


class LazyGroup(click.Group):
    """Imports a command's module when the command is called; those of other packages stand after our own."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *plugins()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            point = plugins().get(cmd_name)
            return None if point is None else load_plugin(point)
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), f"{cmd_name}_command")
        assert isinstance(command, click.Command), f"{cmd_name}_command is a click command"
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            others = plugins()
            if name in others:
                return super().resolve_command(ctx, args)
            close = get_close_matches(name, [*COMMANDS, *others], 1)
            cure = f"did you mean {close[0]!r}?" if close else "see `swarm --help`"
            raise click.UsageError(f"no such command {name!r}; {cure}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            rows = [(name, text) for name, (_, text) in COMMANDS.items()]
            for name, point in plugins().items():
                try:
                    rows.append((name, load_plugin(point).get_short_help_str(limit=100)))
                except click.ClickException as error:
                    rows.append((name, error.format_message()))
            formatter.write_dl(rows)


def _print_version(ctx: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
    if not is_asked or ctx.resilient_parsing:
        return
    from swarm.version import __version__, is_compiled

    python = ".".join([str(number) for number in sys.version_info[:3]])
    click.echo(f"swarm {__version__}, compiled: {'yes' if is_compiled() else 'no'}, Python {python}")
    ctx.exit()


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A mesh of computers that compute together, without a central server.",
    epilog=(
        "Start with `swarm join` on each computer; the first one prints the invitation for the others. "
        "Exit codes: 0 fine, 1 the job or command failed, 2 wrong usage, 3 no mesh or node reachable, "
        "4 not allowed, 130 interrupted."
    ),
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version, whether it is compiled, and the Python.",
)
def cli() -> None:
    """See `help`."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code.

    Args:
        arguments: as in ``sys.argv[1:]``, which is the default.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # results and names may be no text of this terminal
    code = run(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = code or FAILED
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; errors are one line on stderr."""
    try:
        value = cli.main(arguments, prog_name="swarm", standalone_mode=False)
    except (Interrupted, KeyboardInterrupt, click.exceptions.Abort):
        if sys.stderr.isatty():
            click.echo(err=True)  # behind the ^C that the terminal shows
        return complain("interrupted", INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return WRONG_USAGE
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "swarm"
        hint = f" (see `{where} --help`)" if isinstance(error, click.UsageError) else ""
        return complain(f"{error.format_message()}{hint}", WRONG_USAGE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except Exception as error:  # noqa: BLE001 - what is no error of ours is raised again
        return _explain(error)
    return value if isinstance(value, int) else 0


def complain(message: str, code: int) -> int:
    """Say on stderr what is wrong, and return the exit code."""
    click.echo(f"swarm: {message}", err=True)
    return code


def _explain(error: Exception) -> int:
    """Print an error that swarm raised on purpose in one line; anything else is a bug and is shown whole."""
    from swarm.core.errors import SwarmError

    if isinstance(error, SwarmError):
        return complain(str(error), code_of(error))
    if isinstance(error, TimeoutError):
        return complain(str(error), FAILED)
    raise error


def code_of(error: Any) -> int:
    """Return the exit code that an error of swarm ends the command with."""
    from swarm.core.errors import ConfigError, GraphError, SerializationError, TransportError

    code = getattr(error, "code", None)
    if isinstance(code, int) and 0 < code < 256:
        return code
    if type(error).__name__ == "NotAllowed":
        return NOT_ALLOWED
    if isinstance(error, (ConfigError, GraphError, SerializationError)):
        return WRONG_USAGE
    if isinstance(error, TransportError):
        return UNREACHABLE
    return FAILED


if __name__ == "__main__":
    main()
