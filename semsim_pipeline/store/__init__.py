"""Parquet parts and manifests under SEMSIM_HOME: written atomically, named by content."""
