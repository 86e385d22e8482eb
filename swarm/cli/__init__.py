"""The command line: `swarm`, also as ``python -m swarm``. Commands import what they need when they run."""
