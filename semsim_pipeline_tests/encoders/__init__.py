"""Tests of `semsim_pipeline.encoders`."""
