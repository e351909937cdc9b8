"""From pixels to embeddings: one file an encoder family, and the backgrounds that give scores their scale."""

DEFAULT_ENCODER = "mini"
"""What is meant where nobody names an encoder; it ships with the package. A catalogue always names its own."""
