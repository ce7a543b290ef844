"""Text becomes documents: reading, cleaning, deduplication, and a tally of everything dropped."""
