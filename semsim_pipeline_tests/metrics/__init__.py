"""Tests of `semsim_pipeline.metrics`."""
