"""The services that a node publishes: what a service is, the files that hold some, and the list of all.

No network and no trio in here: `swarm.daemon.services` watches the files and tells the mesh.
"""
