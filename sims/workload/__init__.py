"""Workloads: task graphs and their generators, arrivals of jobs, noise on run times."""
