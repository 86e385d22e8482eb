"""The mesh's keys and how they are replaced while the mesh works. See `swarm.keyring.core`."""
