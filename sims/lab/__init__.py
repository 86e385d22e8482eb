"""The policy laboratory: placement policies and settings of gossip, compared on the same seeds."""
