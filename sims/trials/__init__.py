"""Trials of the protocol: a mesh, jobs and faults drawn from a seed, judged by checkers.

A trial has two phases, as in TigerBeetle's simulator: while faults happen nothing wrong may happen; then they
stop for a random connected core, and what was promised must happen in time.
"""
