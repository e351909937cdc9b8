"""From two views to a score card."""
