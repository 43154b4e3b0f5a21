"""Names of methods of search. Commands that only list sweeps import this, so it imports nothing."""

ASKING = ("tpe", "cmaes", "optuna")
"""The methods that ask a sampler of Optuna for points."""
