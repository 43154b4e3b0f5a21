"""The report of a sweep: phase diagrams, curves, importance and learned functions, as a page and as pictures."""
