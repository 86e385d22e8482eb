"""What is wrong with this host's network, as far as swarm is concerned, and what helps.

`probing` tries everything out, `judging` draws conclusions from what came of it, without a network.
"""
