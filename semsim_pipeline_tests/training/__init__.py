"""Tests of `semsim_pipeline.training`."""
