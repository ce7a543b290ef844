"""What people load batches with today, and ours, over the same tokens: one file per rival, each in an environment of
its own, measured in interleaved rounds by one command, `python -m benchmarks.rivals`."""
