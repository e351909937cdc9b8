"""From pixels to embeddings: one file an encoder family, and the backgrounds that give scores their scale."""
