"""Faces of other systems: each in a package of its own, switched on by whoever wants it."""
