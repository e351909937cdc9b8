"""Pictures of a comparison as PNG: one file each, all deterministic, none on a global figure."""
