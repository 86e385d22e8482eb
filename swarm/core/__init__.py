"""The vocabulary every layer shares: ids, records, effects, timers, random numbers, errors.

Imports nothing else of swarm.
"""
