"""Numbers about a sweep, finished or running: its table, leaderboard, axes and phase diagrams. No store, no Ray."""
