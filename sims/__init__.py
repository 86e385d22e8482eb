"""The simulator: whole meshes of `swarm.node` objects under a virtual clock."""
