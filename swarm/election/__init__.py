"""Who leads: ballots, votes, beats, the fence and the council. See `swarm.election.base`."""
