"""Becoming a node and ceasing to be one: join, up, login, leave, stop, invite."""

from __future__ import annotations

import signal
import sys
import threading
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarm.cli.shared import home_option, json_option, print_json

if TYPE_CHECKING:
    from swarm.daemon.launch import Started
    from swarm.daemon.options import DaemonOptions


@click.command("join")
@click.argument("invitation", default="")
@home_option
@json_option
@click.option(
    "--pair", is_flag=True, help="Ask to be admitted, even when no mesh is heard nearby: shows a code."
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0, max=3600),
    default=600.0,
    show_default=True,
    help="Seconds to wait for being admitted; 0: do not ask (exit code 4 when a mesh is near).",
)
@click.option(
    "--quorum",
    metavar="KIND",
    help="With --new: strict founds a mesh in which only a majority of voters dispatches and others wait;"
    " available (default) goes on with whatever is left.",
)
@click.option("--new", is_flag=True, help="Found a new mesh, even when one is heard nearby.")
@click.option("--name", help="What the node is called (default: the host's name).")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="TCP and UDP port (default: 7117 or the next free)."
)
@click.option("--listen", metavar="HOST", help="Address to listen on (default: all).")
@click.option("--peer", multiple=True, metavar="HOST:PORT", help="A node to try; may be repeated.")
@click.option("--no-multicast", is_flag=True, help="Reach others by addresses only.")
@click.option("--scan", is_flag=True, help="Ask every host of the own /24 too (private networks only).")
@click.option("--interface", multiple=True, metavar="NAME", help="Interface for discovery; may be repeated.")
@click.option(
    "--preset",
    metavar="NAME",
    help="Times that suit the network: lan (default), local, wan or phone (see docs/NETWORKS.md).",
)
@click.option("--cores", metavar="N", help="How many cores the mesh may use (default: all).")
@click.option("--memory", metavar="SIZE", help="How much memory the mesh may use, such as 2G.")
@click.option("--disk", metavar="SIZE", help="How much disk the mesh's objects may take, such as 10G.")
@click.option(
    "--tag", multiple=True, metavar="KEY=VALUE", help="A word that tasks can ask for; may be repeated."
)
@click.option(
    "--services", metavar="DIR", help="Folder of this machine's service files (default: /etc/swarm/services)."
)
@click.option(
    "--marcopolo", is_flag=True, help="Also answer and ask in MarcoPolo's way (see docs/SERVICES.md)."
)
@click.option(
    "--ready-file", type=click.Path(dir_okay=False, path_type=Path), help="Written when ready (JSON)."
)
@click.option("--foreground", is_flag=True, help="Stay, and say on stderr what happens.")
@click.option("--log-json", is_flag=True, help="With --foreground: say it as JSON lines.")
@click.option("--record", is_flag=True, help="Keep a file of every input in the home, for developers.")
def join_command(
    invitation: str,
    home: Path | None,
    as_json: bool,
    peer: tuple[str, ...],
    interface: tuple[str, ...],
    tag: tuple[str, ...],
    pair: bool,
    wait: float,
    **settings: Any,
) -> None:
    """Start this node in the background, in the mesh of INVITATION.

    Without an invitation: in the mesh that this home already belongs to; else, when a mesh is heard nearby,
    show a code and wait until `swarm admit CODE` on one of its nodes lets this one in; else in a new mesh,
    whose invitation is printed. A home remembers the options of its last start: what is not given now stays
    as it was.
    """
    from swarm.client.reach import parse_address
    from swarm.daemon.launch import run_in_foreground
    from swarm.daemon.options import DaemonOptions

    for address in peer:
        parse_address(address)
    options = DaemonOptions(
        home=home, invitation=invitation, peer=peer, interface=interface, tag=tag, **settings
    )
    options = _paired(options, pair, wait, as_json)
    if options.foreground:
        run_in_foreground(options)
    started = _start(options, wait, as_json)
    if started.damage:
        click.echo(f"swarm: {started.damage}", err=True)
    printed = _invitation(started.home.root, False) if started.is_founded else ""
    if as_json:
        founded = {"invitation": printed} if printed else {}
        print_json({**started.ready, "mesh": started.mesh, "founded": started.is_founded, **founded})
        return
    ready = started.ready
    click.echo(f"node {ready['name']} is ready in mesh {started.mesh} at {ready['host']}:{ready['port']}")
    if printed:
        click.echo(f"\nThis founded the mesh. On every other computer run:\n\n  swarm join {printed}\n")
        click.echo("Whoever has this invitation belongs to the mesh: pass it on like a password.")


def _paired(options: DaemonOptions, pair: bool, wait_s: float, as_json: bool) -> DaemonOptions:
    """Return options with the invitation of the mesh that admits this device, if it has to ask at once."""
    from dataclasses import replace

    from swarm.cli.pairing import is_mesh_near, wait_for_admission
    from swarm.daemon.home import Home, default_home

    if pair and (options.invitation or options.new or Home(options.home or default_home()).mesh.exists()):
        raise click.UsageError("--pair is for a device without a mesh: leave out the invitation and --new")
    if pair or (options.foreground and wait_s > 0 and is_mesh_near(options)):
        return replace(options, invitation=wait_for_admission(options, wait_s, as_json))
    return options


def _start(options: DaemonOptions, wait_s: float, as_json: bool) -> Started:
    """Start a node; when it finds a mesh nearby that it was not told of, ask to be admitted to it."""
    from dataclasses import replace

    from swarm.cli.pairing import wait_for_admission
    from swarm.daemon.launch import StartFailed, start_daemon

    try:
        return start_daemon(options)
    except StartFailed as error:
        if not error.mesh_is_near or not wait_s:
            raise
    return start_daemon(replace(options, invitation=wait_for_admission(options, wait_s, as_json)))


@click.command("up")
@click.option("--nodes", type=click.IntRange(1, 64), default=2, show_default=True, help="How many nodes.")
@click.option("--cores", type=click.FloatRange(min=0, min_open=True), help="Cores of each (default: shared).")
@click.option("--tag", multiple=True, metavar="KEY=VALUE", help="A tag for every node; may be repeated.")
@json_option
def up_command(nodes: int, cores: float | None, tag: tuple[str, ...], as_json: bool) -> None:
    """Run a mesh of N nodes on this host, for trying things; gone when interrupted."""
    from swarm.client.local import LocalNodes

    ended = threading.Event()

    def on_signal(_number: int, _frame: types.FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    local = LocalNodes(nodes, cores, tag)
    try:
        local.start()
        text = local.invitation.to_text()
        if as_json:
            print_json({"invitation": text, "mesh": local.invitation.mesh, "nodes": local.ready})
        elif not ended.is_set():
            click.echo(f"{nodes} nodes are up in mesh {local.invitation.mesh}; in another terminal:\n")
            click.echo(f"  export SWARM_MESH={text}\n  swarm nodes\n  swarm submit job.py\n")
            click.echo("Interrupt (Ctrl-C) to end it.")
        sys.stdout.flush()
        while not ended.wait(1.0):
            continue
    finally:
        local.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    raise KeyboardInterrupt


@click.command("login")
@click.argument("invitation")
@home_option
@json_option
def login_command(invitation: str, home: Path | None, as_json: bool) -> None:
    """Keep INVITATION for later commands on this computer, which does not become a node."""
    from swarm.client.reach import keep_login

    kept = keep_login(invitation, home)
    if as_json:
        print_json({"mesh": kept.mesh, "client": kept.is_client})
    else:
        click.echo(f"commands on this computer now talk to mesh {kept.mesh}")


@click.command("leave")
@home_option
@json_option
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=3600.0,
    show_default=True,
    help="Seconds that running tasks may take.",
)
def leave_command(home: Path | None, as_json: bool, timeout: float) -> None:
    """Let running tasks end, take no more, then stop this node."""
    _stop(home, as_json, True, timeout)


@click.command("stop")
@home_option
@json_option
def stop_command(home: Path | None, as_json: bool) -> None:
    """Stop this node at once; its tasks run again elsewhere."""
    from swarm.daemon.launch import STOP_TIMEOUT_S

    _stop(home, as_json, False, STOP_TIMEOUT_S)


def _stop(home: Path | None, as_json: bool, drain: bool, timeout_s: float) -> None:
    from swarm.daemon.home import Home, default_home
    from swarm.daemon.launch import stop_daemon

    pid = stop_daemon(Home(home or default_home()), drain, timeout_s)
    if as_json:
        print_json({"pid": pid, "stopped": True})
    else:
        click.echo(f"the node (pid {pid}) has {'left' if drain else 'stopped'}")


@click.command("invite")
@click.option(
    "--client", is_flag=True, help="For somebody who only submits; see above what that does not protect."
)
@click.option("--qr", is_flag=True, help="Also as a QR code, for a phone's camera.")
@home_option
@json_option
def invite_command(client: bool, qr: bool, home: Path | None, as_json: bool) -> None:
    """Print an invitation to the mesh of this node.

    With --client it is for somebody who submits and is no node. That is no protection yet: tasks run as the
    user of the nodes, so whoever submits can read what that user can read, this mesh's secret too. Give
    either kind only to people you trust.
    """
    from swarm.daemon.home import default_home

    text = _invitation(home or default_home(), client)
    if as_json:
        print_json({"invitation": text, "client": client})
        return
    click.echo(text)
    if qr:
        try:
            import segno
        except ImportError:
            raise click.UsageError("--qr needs the package segno; install it, or copy the text") from None
        segno.make(text.upper()).terminal(compact=True)


def _invitation(root: Path, client: bool) -> str:
    from swarm.daemon.api_client import call_local
    from swarm.daemon.home import Home

    return str(call_local(Home(root), "invite", {"client": client})["invitation"])
