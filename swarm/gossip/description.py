"""How a node describes itself: the alive rumour about us, checked before anybody hears it."""

from __future__ import annotations

from swarm.core.errors import ConfigError, DecodeError
from swarm.core.ids import Address
from swarm.gossip.config import GossipConfig
from swarm.gossip.context import Context
from swarm.gossip.rumours import Rumour, check_facts, is_address, is_name, make_alive


def describe(
    context: Context, name: str, addresses: list[Address], facts: dict[str, object], incarnation: int
) -> Rumour:
    """Return the rumour by which this node describes itself; surplus addresses are left out.

    Raises:
        ConfigError: the name, an address or the facts cannot be told to others.
    """
    config: GossipConfig = context.config
    if not is_name(name):
        raise ConfigError(f"node name {name!r} must be 1 to 64 printable characters")
    for host, port in addresses:
        if not is_address(host, port):
            raise ConfigError(f"address {host!r} port {port} cannot be told to others")
    try:
        check_facts(facts, config)
    except (DecodeError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"facts about this node: {error}") from None
    told = addresses[: config.addresses_max]
    kept = dict(facts)
    rumour = make_alive(context.node_id, incarnation, name, told, kept)
    while len(rumour.packed) > config.rumour_size_max_bytes and told:
        told = told[:-1]
        rumour = make_alive(context.node_id, incarnation, name, told, kept)
    if len(rumour.packed) > config.rumour_size_max_bytes:
        raise ConfigError(f"name and facts take {len(rumour.packed)} bytes")
    return rumour
