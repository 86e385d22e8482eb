"""What is noted of a run: observers see what crosses the boundary of the nodes, and know the truth."""
