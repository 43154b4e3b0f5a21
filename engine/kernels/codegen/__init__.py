"""Compile a Program to machine code, pass by pass. `pipeline.py` has the list of passes: read it first."""
