"""The key of the mesh: what there is, and going over to a new one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import click

from swarm.cli.shared import home_option, json_option, print_json, print_table

WAIT_S: Final = 900.0
_POLL_S: Final = 0.5


@click.group("key")
def key_command() -> None:
    """Show the keys of the mesh, or go over to a new one.

    Everything that members send each other is sealed with the key of the mesh, and who holds it may join.
    Going over to a new one ends what was given away with the old one.
    """


@key_command.command("list")
@home_option
@json_option
def list_command(home: Path | None, as_json: bool) -> None:
    """List the keys that this node has: which one seals, and how many members have which."""
    said = _call(home, "key_list", {})
    if as_json:
        print_json(said)
        return
    rows = [
        [
            key["fingerprint"],
            key["state"],
            key["number"],
            f"{key['holders']} of {key['members']}",
            f"{key['switched']} of {key['members']}",
        ]
        for key in said["keys"]
    ]
    print_table(["KEY", "STATE", "NUMBER", "HELD BY", "SEALS FOR"], rows)
    if said["rotating"]:
        click.echo("a rotation is under way")


@key_command.command("rotate")
@click.option(
    "--without",
    multiple=True,
    metavar="NODE",
    help="Throw this member out: its id, a beginning of it, or its name; may be repeated.",
)
@click.option("--detach", is_flag=True, help="Do not wait until all members have gone over.")
@home_option
@json_option
def rotate_command(without: tuple[str, ...], detach: bool, home: Path | None, as_json: bool) -> None:
    """Give the mesh a new key, while it works.

    All members get it over their streams, then go over to it, then the old one stops opening anything.
    Invitations of either kind that were made before stop with it. Members that are away come back by
    themselves within 30 days, at most two rotations later.
    """
    started = _call(home, "key_rotate", {"without": list(without)})
    said = _call(home, "key_list", {})
    give_up = time.monotonic() + WAIT_S
    while not detach and said["rotating"] and time.monotonic() < give_up:
        time.sleep(_POLL_S)  # a daemon answers questions and tells nothing by itself
        said = _call(home, "key_list", {})
    newest = said["keys"][0]
    if as_json:
        print_json({**started, "rotating": said["rotating"], "keys": said["keys"]})
    elif said["rotating"]:
        click.echo(f"the mesh goes over to the key {started['fingerprint']}; see `swarm key list`")
    else:
        click.echo(f"the mesh has gone over to the key {newest['fingerprint']}")
        click.echo("Invitations made before do not work any more; `swarm invite` prints a new one.")


def _call(home: Path | None, op: str, args: dict[str, Any]) -> Any:
    from swarm.daemon.api_client import call_local
    from swarm.daemon.home import Home, default_home

    return call_local(Home(home or default_home()), op, args)
