"""Kernels: the ways to run a Program over a population of trials and the samples of a data set."""
