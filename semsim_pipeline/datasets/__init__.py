"""Where images come from: sources, views on them, and decoding."""
