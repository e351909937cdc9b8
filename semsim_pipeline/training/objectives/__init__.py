"""What a network can be trained for. To add one: one file here."""
