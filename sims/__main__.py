"""``python -m sims`` is ``swarm sim``."""

from __future__ import annotations

import sys

import click

from sims.cli import FAILED, sim_command
from swarm.core.errors import ConfigError, GraphError, SwarmError

WRONG_USAGE = 2
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code; errors are one line on stderr."""
    try:
        # Not by `main` of click, which prints an empty line for an interrupt.
        given = sys.argv[1:] if arguments is None else arguments
        with sim_command.make_context("python -m sims", given) as context:
            value = sim_command.invoke(context)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return WRONG_USAGE
    except click.ClickException as error:
        return _complain(error.format_message(), WRONG_USAGE)
    except SwarmError as error:
        return _complain(str(error), WRONG_USAGE if isinstance(error, (ConfigError, GraphError)) else FAILED)
    return value if isinstance(value, int) else 0


def _complain(message: str, code: int) -> int:
    click.echo(f"swarm: {message}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
