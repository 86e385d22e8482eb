"""What programs import to use a mesh: connections, futures, tasks, graphs.

People write ``import swarm``, which offers the same names lazily; the trio face is `swarm.aio`.
"""
