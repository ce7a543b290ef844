"""Predictions without running anything: memory, compute, and what must change with the batch. No torch."""
