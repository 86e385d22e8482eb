"""The process around a node: clock, journal, driver, local API, configuration, start and stop.

Everything here does input and output; every decision of the protocol is made by `swarm.node`.
"""
