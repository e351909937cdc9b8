"""Dagster's view of the pipeline: thin assets over `semsim_pipeline.stages`, partitioned by the catalogue."""
