"""Seeing a sweep: phase diagrams, curves, importance and surfaces, as numbers, as pictures and as a page."""
