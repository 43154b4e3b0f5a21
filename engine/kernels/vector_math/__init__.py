"""exp, log, tanh, sin, erf, power, ... as vector code with the same bits on every processor."""
