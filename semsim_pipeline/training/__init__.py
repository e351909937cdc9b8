"""Training an encoder of one's own: which images, how they are varied, for what, and the loop."""
