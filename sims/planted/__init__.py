"""Bugs that are planted on purpose, to see that a checker finds each: a hole in the checkers shows here.

`bugs.toml` lists them as small changes of the sources; `python -m sims.planted` runs the soak on a changed
copy of the package, seed after seed, until the named checker fires.
"""
