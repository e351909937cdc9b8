"""Tests of `semsim_pipeline.comparison`."""
