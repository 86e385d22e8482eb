"""Services that this node publishes: service publish, unpublish, list, info, permanent, reload."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from swarm.cli.shared import home_option, json_option, print_json, print_table

group_option = click.option(
    "--group", multiple=True, metavar="GROUP", help="Only in this multicast group; may be repeated."
)


@click.group("service")
def service_command() -> None:
    """Publish services of this node, and show them.

    A service has an id and parameters, and is found by everybody in the mesh: `swarm nodes --service NAME`.
    Files publish services too: see docs/SERVICES.md.
    """


@service_command.command("publish")
@click.argument("identity", metavar="ID")
@click.option("--param", multiple=True, metavar="K=V", help="What others learn of it; may be repeated.")
@group_option
@click.option("--permanent", is_flag=True, help="Write a file, so that it is there after the next start.")
@click.option(
    "--user/--root",
    "is_user",
    default=True,
    help="A service of the user, published as user:ID (default), or of the machine.",
)
@home_option
@json_option
def publish_command(
    identity: str,
    param: tuple[str, ...],
    group: tuple[str, ...],
    permanent: bool,
    is_user: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Publish the service ID of this node until the node stops.

    A value that is a JSON number or truth value is one (port=80); put it into quotes to have a text.
    """
    from swarm import services

    params = parse_params(param)
    name = services.publish_service(identity, params, group, permanent, not is_user, home=home)
    if as_json:
        print_json({"name": name})
    else:
        click.echo(f"{name} is published; others find it with `swarm nodes --service {name}`")


@service_command.command("unpublish")
@click.argument("name")
@group_option
@click.option("--delete-file", is_flag=True, help="Remove its file too, if it has one.")
@home_option
@json_option
def unpublish_command(
    name: str, group: tuple[str, ...], delete_file: bool, home: Path | None, as_json: bool
) -> None:
    """Stop publishing the service NAME of this node; with a file it comes back with a reload or start."""
    from swarm import services

    services.unpublish_service(name, group, delete_file, home=home)
    if as_json:
        print_json({"name": name})
    else:
        click.echo(f"{name} is published no more")


@service_command.command("list")
@click.argument("node", required=False)
@home_option
@json_option
def list_command(node: str | None, home: Path | None, as_json: bool) -> None:
    """List the services that this node publishes, or another NODE (its name, id or address)."""
    if node is None:
        from swarm.daemon.api_client import call_local
        from swarm.daemon.home import Home, default_home

        rows = call_local(Home(home or default_home()), "services.list")
        if as_json:
            print_json(rows)
            return
        print_table(
            ("name", "parameters", "groups", "file"),
            [(row["name"], params_text(row["params"]), " ".join(row["groups"]), row["file"]) for row in rows],
        )
        return
    from swarm import services

    names = services.services(node, home=home)
    if as_json:
        print_json(names)
    else:
        for name in names:
            click.echo(name)


@service_command.command("info")
@click.argument("name")
@home_option
@json_option
def info_command(name: str, home: Path | None, as_json: bool) -> None:
    """Show everything about the service NAME of this node."""
    from swarm import services

    value = services.service_info(name, home=home)
    if as_json:
        print_json(value)
        return
    for key in ("name", "published", "permanent", "disabled", "file"):
        click.echo(f"{key:10}{_plain(value[key])}")
    click.echo(f"groups    {' '.join(value['groups']) or 'all'}")
    for key, item in sorted(value["params"].items()):
        click.echo(f"  {key} = {_plain(item)}")


@service_command.command("permanent")
@click.argument("name")
@click.option("--off", is_flag=True, help="Take its file away; it stays published until the node stops.")
@home_option
@json_option
def permanent_command(name: str, off: bool, home: Path | None, as_json: bool) -> None:
    """Give the service NAME of this node a file, so that it is published after the next start as well."""
    from swarm import services

    services.set_permanent(name, not off, home=home)
    if as_json:
        print_json({"name": name, "permanent": not off})
    else:
        click.echo(f"{name} {'ends with this node' if off else 'is permanent'}")


@service_command.command("reload")
@home_option
@json_option
def reload_command(home: Path | None, as_json: bool) -> None:
    """Read all service files again, and publish again what was unpublished and still has a file."""
    from swarm import services

    count = services.reload_services(home=home)
    if as_json:
        print_json({"published": count})
    else:
        click.echo(f"{count} services are published")


def parse_params(texts: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameters of ``k=v`` texts: JSON scalars where a value is one, else texts.

    Raises:
        UsageError: one has no ``=``.
    """
    params: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--param {text!r} is not of the form key=value")
        try:
            found = json.loads(value)
        except ValueError:
            found = value
        params[key] = value if isinstance(found, (dict, list)) else found
    return params


def params_text(params: dict[str, Any]) -> str:
    """Return parameters as :func:`parse_params` reads them."""
    return " ".join([f"{key}={_plain(value)}" for key, value in sorted(params.items())])


def with_service(
    rows: list[dict[str, Any]], service: str, param: tuple[str, ...], group: str, home: Path | None, mesh: str
) -> list[dict[str, Any]]:
    """Return the rows of `swarm nodes` whose nodes publish a service.

    Raises:
        BadService: the name, a parameter or the group cannot be.
        SwarmError: nobody answers.
    """
    from swarm import services
    from swarm.core.errors import ConnectFailed
    from swarm.daemon.api_client import call_local
    from swarm.daemon.home import Home, default_home
    from swarm.registry.wishes import wish_of

    params = parse_params(param)
    args = {"service": service, "params": params, "group": group, "details": bool(params or group)}
    wish_of(args)
    try:
        if mesh:
            raise ConnectFailed("another mesh is meant")
        found = call_local(Home(home or default_home()), "services.find", args)
    except ConnectFailed:
        found = services.ask_mesh("services.find", args, home, mesh)
    params_of = {row["id"]: row["params"] for row in found}
    return [{**row, "params": params_of[row["id"]]} for row in rows if row.get("id") in params_of]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
