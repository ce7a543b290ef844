"""To and from what others use: torch's loaders and trainers, and the token formats of other projects."""
