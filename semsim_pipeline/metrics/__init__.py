"""Numbers from two sets of embeddings; arrays in, values out."""
