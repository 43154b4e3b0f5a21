"""exp, log, tanh, sin, erf, power, ... as vector code, the same to the last bit on every processor."""
