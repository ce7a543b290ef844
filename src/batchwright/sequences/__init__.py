"""A store becomes rows of T slots in a global order: packing, the sequence index, the plan, the sampler."""
