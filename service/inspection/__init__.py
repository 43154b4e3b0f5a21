"""The closer look at recorded sweeps: verify, explain, watch, promote, export, doctor."""
