"""Documents become a token store: tokenizers, shards, the store, its build and its verification."""
