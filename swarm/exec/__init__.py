"""Running tasks: the pure book-keeping of a worker, and the processes that do the work."""
