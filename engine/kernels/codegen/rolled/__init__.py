"""The compiler's passes for rolled programs, the training steps of wide networks: see `lower.py`."""
