"""Which code each stage runs, as Dagster's `code_version`; raised where a stage's results change."""

from __future__ import annotations

from collections.abc import Mapping


def code_versions() -> Mapping[str, str]:
    """Stage to version. Read from the modules whose results it describes; none of them imports anything heavy."""
    from semsim_pipeline.datasets.decode import DECODE_VERSION
    from semsim_pipeline.metrics.score_card import SCORE_VERSION
    from semsim_pipeline.plots.base import PLOTS_VERSION
    from semsim_pipeline.stages.matrix import MATRIX_VERSION
    from semsim_pipeline.stages.report import REPORT_VERSION
    from semsim_pipeline.store.schema import SCHEMA_VERSION

    return {
        "dataset_manifest": f"{SCHEMA_VERSION}",
        "embeddings": f"{SCHEMA_VERSION}.{DECODE_VERSION}",
        "pair_metrics": f"{SCORE_VERSION}",
        "pair_plots": f"{PLOTS_VERSION}",
        "similarity_matrix": f"{MATRIX_VERSION}.{PLOTS_VERSION}",
        "report": f"{REPORT_VERSION}",
    }
