"""Objects: the immutable outputs of tasks, which of them this node has, and how it gets the others."""
