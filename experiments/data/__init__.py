"""Data sets: read files and frames into typed columns, check them, and turn them into a network's inputs."""
