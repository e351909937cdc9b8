"""Tests of `semsim_pipeline.datasets`."""
