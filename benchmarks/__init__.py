"""Speed beside the rivals, in the same run, per CPU-second."""
