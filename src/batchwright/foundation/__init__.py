"""What everything stands on: errors, units, fingerprints, named randomness, durable files, tasks. No torch."""
