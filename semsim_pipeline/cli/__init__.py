"""The command line: thin shells over the core. Results on stdout, talk on stderr, errors as one line."""

from semsim_pipeline.cli.app import main

__all__ = ["main"]
