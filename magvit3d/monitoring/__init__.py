"""How a run is watched: progress, metrics, stalls, traces."""
