"""An exhaustive model of the election and of what keeps and merges jobs' facts, and its tie to the code.

``python -m sims.model`` searches all states of three nodes (`sims.model.election`, `sims.model.strict`,
`sims.model.keeping`), tries the laws of merging on the real records (`sims.model.merging`), plants mistakes
that must be found (`sims.model.mistakes`), and holds traces of the simulator against the model
(`sims.model.replay`, `sims.model.strict_replay`).
docs/GUARANTEES.md says what follows from it and what does not.
"""
