"""Tests of `semsim_pipeline.extract`."""
