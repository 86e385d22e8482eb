"""Membership: who is there, who has gone, and how everybody comes to know it (SWIM with Lifeguard).

`core.Gossip` is the whole of it for the node; see its module docstring for the theory of operation.
"""
