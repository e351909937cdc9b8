"""Tests of `semsim_pipeline.report`."""
