"""What the evidence benchmarks share: images and their shifts, encoders, and the numbers that are put side by side."""
