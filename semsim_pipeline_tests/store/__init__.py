"""Tests of `semsim_pipeline.store`."""
