"""Time and peak memory, against the naive way and a peer in the same run; results are JSON under `results/`."""
