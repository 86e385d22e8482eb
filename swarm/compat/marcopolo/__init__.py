"""MarcoPolo's discovery, spoken by a node: its datagrams on a multicast group, and its local API.

A service of its own beside gossip, switched off unless wanted (``swarm join --marcopolo``, or ``enabled =
true`` below ``[marcopolo]`` in swarm.toml): it has no secret, so whoever is on the network may ask, and is
answered with little and seldom. Of the two roles a node may have both or one: *polo* answers, *marco* asks.

The protocol is that of the programs `marcod` and `polod` of 2015, described from how they behave; where they
did not work (Services, exclude, retries, max_nodes) it does what their manual says.
"""
