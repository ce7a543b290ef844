"""Rows become (B, T) batches: geometry, the shift, the loader whose state is one position."""
