"""Pairing: waiting to be let in (`swarm join`), and letting somebody in (`swarm admit`)."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from swarm.cli.shared import home_option, json_option, print_json, print_table

if TYPE_CHECKING:
    from swarm.core.ids import Address
    from swarm.daemon.options import DaemonOptions
    from swarm.net.pairing import Code

ADMIT_TIMEOUT_S: Final = 120.0


@click.command("admit")
@click.argument("code", default="")
@click.option("--peer", metavar="HOST[:PORT]", help="Where the device waits, when it is not heard nearby.")
@home_option
@json_option
def admit_command(code: str, peer: str | None, home: Path | None, as_json: bool) -> None:
    """Let the device that shows CODE into the mesh of this node.

    The device shows its code when `swarm join` runs there without an invitation. Without CODE: list the
    devices that wait nearby.
    """
    from swarm.daemon.api_client import call_local
    from swarm.daemon.home import Home, default_home

    place = Home(home or default_home())
    if not code:
        waiting = call_local(place, "waiting")
        if as_json:
            print_json(waiting)
        elif waiting:
            rows = [[device["name"], f"{device['plate']}-…", device["host"]] for device in waiting]
            print_table(["DEVICE", "CODE", "HOST"], rows)
        else:
            click.echo("no device waits nearby")
        return
    args: dict[str, Any] = {"code": code}
    if peer:
        args["host"], args["port"] = _place(peer)
    admitted = call_local(place, "admit", args, timeout_s=ADMIT_TIMEOUT_S)
    if as_json:
        print_json(admitted)
    else:
        click.echo(f"{admitted['name']} at {admitted['host']} is admitted to mesh {admitted['mesh']}")


def wait_for_admission(options: DaemonOptions, timeout_s: float, as_json: bool) -> str:
    """Show a code, wait until a member lets this device in, and return the invitation.

    Raises:
        SwarmError: nobody did in time, or the home or the port cannot be used.
    """
    import os

    import trio

    from swarm.core.ids import short
    from swarm.daemon.config_file import load_settings
    from swarm.daemon.home import Home, default_home
    from swarm.daemon.waiting import Waiting
    from swarm.net.identity import NodeKey

    home = Home(options.home or default_home())
    home.create()
    settings = load_settings(options, os.environ, home.config, home.store, home.options)

    def show(code: Code, addresses: list[Address]) -> None:
        host, port = addresses[0]
        if as_json:
            print_json({"code": code.to_text(), "host": host, "port": port, "timeout_s": timeout_s})
            return
        click.echo(
            f"On any node of the mesh that this device shall join, run:\n\n  swarm admit {code.to_text()}\n"
        )
        click.echo(f"The code is good for one attempt. Waiting at {host}:{port}; Ctrl-C ends it.")

    def complain(line: str) -> None:
        click.echo(f"swarm: {line}", err=True)

    waiting = Waiting(
        NodeKey.load_or_create(home.root),
        settings.name or socket.gethostname(),
        show,
        complain,
        port=settings.port,
        listen=settings.listen,
        use_multicast=settings.use_multicast,
        interfaces=settings.interfaces,
    )
    invitation = trio.run(waiting.wait, timeout_s)
    if not as_json:
        click.echo(f"Admitted to mesh {invitation.mesh} by node {short(waiting.member)}.")
    return invitation.to_text()


def is_mesh_near(options: DaemonOptions) -> bool:
    """Return whether a start with these options should ask to be admitted: no mesh is named, one is heard."""
    import trio

    from swarm.daemon.home import Home, default_home
    from swarm.daemon.waiting import hosts_nearby

    home = Home(options.home or default_home())
    if options.invitation or options.new or options.no_multicast or home.mesh.exists():
        return False
    return bool(trio.run(hosts_nearby, options.interface))


def _place(text: str) -> Address:
    from swarm.client.reach import parse_address
    from swarm.net.sockets import PORT

    has_port = text.rpartition("]")[2].count(":") == 1
    if not has_port and text.count(":") > 1 and not text.startswith("["):
        return (text, PORT)  # an IPv6 address as it is
    return parse_address(text if has_port else f"{text}:{PORT}")
