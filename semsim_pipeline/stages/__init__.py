"""The pipeline's stages as plain functions: manifest → embeddings → scores → pictures → matrix → report.

Each looks first whether its result for exactly these inputs is there (a *hit*), and says so; Dagster's assets and the
command line are thin shells over the same functions.
"""
