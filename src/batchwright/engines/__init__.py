"""Where a job runs: in this process, in a pool of local processes, or on a Ray cluster."""
