"""Data sets: reading files and frames into typed columns, checking them, and making a network's inputs of them."""
