"""Tests of `semsim_pipeline.cli`."""
