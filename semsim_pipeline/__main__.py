"""`python -m semsim_pipeline` is `semsim`."""

from semsim_pipeline.cli import main

if __name__ == "__main__":
    main()
