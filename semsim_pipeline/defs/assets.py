"""The six assets, one for each stage; each is a call of one function of `semsim_pipeline.stages`."""

# No `from __future__ import annotations` here: Dagster reads the annotations of what it decorates as objects.

import dagster as dg

from semsim_pipeline.defs.automation import conditions
from semsim_pipeline.defs.partitions import Partitions
from semsim_pipeline.defs.resources import SemsimWorkspace
from semsim_pipeline.defs.results import Materialized, materialized
from semsim_pipeline.defs.versions import code_versions

OWNERS = ["team:semsim"]
EXTRACTION_POOL = "extraction"
"""Networks take every core and much memory: one extraction at a time, whatever the queue holds."""


def assets_of(partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The graph over these partitions."""
    versions = code_versions()
    automation = conditions()

    @dg.asset(
        partitions_def=partitions.datasets,
        group_name="datasets",
        kinds={"parquet", "polars"},
        owners=OWNERS,
        code_version=versions["dataset_manifest"],
        description="Which images a dataset holds, by content (SHA-256): one row an image, with labels, group, size "
        "and, where it cannot be opened, why. A file whose stamp is known is not read again. The data version covers "
        "paths, contents, labels and groups: touching a file changes nothing.",
    )
    def dataset_manifest(context: dg.AssetExecutionContext, workspace: SemsimWorkspace) -> Materialized:
        from semsim_pipeline.stages.manifest import refresh_manifest

        return materialized(context, lambda: refresh_manifest(workspace.open(context.log), context.partition_key))

    @dg.asset(
        partitions_def=partitions.embeddings,
        deps=[dg.AssetDep(dataset_manifest, partition_mapping=partitions.dataset_to_embeddings)],
        group_name="embeddings",
        kinds={"pytorch", "parquet"},
        owners=OWNERS,
        pool=EXTRACTION_POOL,
        code_version=versions["embeddings"],
        automation_condition=automation["embeddings"],
        description="A dataset embedded whole by one encoder, streamed in constant memory to Parquet parts of at most "
        "4,096 rows (`image_id`, `embedding` float32 [d]). An image is embedded once per encoder, in whatever dataset "
        "it turns up; a run that was killed goes on where it stopped. Also the encoder's background: what unrelated "
        "images look like to it, without which a score has no scale.",
    )
    def embeddings(context: dg.AssetExecutionContext, workspace: SemsimWorkspace) -> Materialized:
        from semsim_pipeline.stages.checks.gate import gated
        from semsim_pipeline.stages.embeddings import embed_dataset

        key = context.partition_key
        return materialized(context, lambda: gated(workspace.open(context.log), "embeddings", key, embed_dataset))

    @dg.asset(
        partitions_def=partitions.pairs,
        deps=[dg.AssetDep(embeddings, partition_mapping=partitions.embeddings_to_pairs)],
        group_name="similarity",
        kinds={"numpy", "scikitlearn"},
        owners=OWNERS,
        code_version=versions["pair_metrics"],
        automation_condition=automation["pair_metrics"],
        description="How similar the candidate is to the reference. Headline: S = 2·E k(a, b) / (E k(a, a′) + "
        "E k(b, b′)) with k = exp(−‖x−y‖²/s²) on unit embeddings, a normalised maximum mean discrepancy (Gretton et "
        "al. 2012, JMLR 13); 1 = the same distribution, the floor = unrelated sets of this diversity. With a 95 % "
        "interval, a permutation p-value, a verdict, and the score card: Fréchet (Heusel et al. 2017), KID "
        "(Bińkowski et al. 2018), precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et "
        "al. 2020), C2ST (Lopez-Paz and Oquab 2017) and more.",
    )
    def pair_metrics(context: dg.AssetExecutionContext, workspace: SemsimWorkspace) -> Materialized:
        from semsim_pipeline.stages.checks.gate import gated
        from semsim_pipeline.stages.scores import score_pair

        key = context.partition_key
        return materialized(context, lambda: gated(workspace.open(context.log), "pair_metrics", key, score_pair))

    @dg.asset(
        partitions_def=partitions.pairs,
        deps=[pair_metrics],
        group_name="similarity",
        kinds={"matplotlib", "png"},
        owners=OWNERS,
        code_version=versions["pair_plots"],
        automation_condition=automation["pair_plots"],
        description="Pictures of a pair: the score on its scale, a t-SNE map (van der Maaten and Hinton 2008) of both "
        "sets on one canvas, and the nearest and farthest images across the sets.",
    )
    def pair_plots(context: dg.AssetExecutionContext, workspace: SemsimWorkspace) -> Materialized:
        from semsim_pipeline.stages.pictures import draw_pair_plots

        return materialized(context, lambda: draw_pair_plots(workspace.open(context.log), context.partition_key))

    @dg.asset(
        partitions_def=partitions.comparisons,
        deps=[dg.AssetDep(pair_metrics, partition_mapping=partitions.pairs_to_comparisons)],
        group_name="reports",
        kinds={"parquet", "matplotlib"},
        owners=OWNERS,
        code_version=versions["similarity_matrix"],
        automation_condition=automation["similarity_matrix"],
        description="Every score of a comparison as a table, tidy rows in Parquet (pair, metric, value, interval), "
        "and a heat map with similar classes side by side (hierarchical clustering, optimal leaf order).",
    )
    def similarity_matrix(context: dg.AssetExecutionContext, workspace: SemsimWorkspace) -> Materialized:
        from semsim_pipeline.stages.matrix import build_matrix

        return materialized(context, lambda: build_matrix(workspace.open(context.log), context.partition_key))

    @dg.asset(
        partitions_def=partitions.comparisons,
        deps=[
            dg.AssetDep(pair_plots, partition_mapping=partitions.pairs_to_comparisons),
            similarity_matrix,
        ],
        group_name="reports",
        kinds={"html"},
        owners=OWNERS,
        code_version=versions["report"],
        automation_condition=automation["report"],
        description="One self-contained page for a comparison: scores, heat map, pictures, method with papers, "
        "versions and digests. Opens offline.",
    )
    def report(context: dg.AssetExecutionContext, workspace: SemsimWorkspace) -> Materialized:
        from semsim_pipeline.stages.report import write_comparison_page

        return materialized(context, lambda: write_comparison_page(workspace.open(context.log), context.partition_key))

    return [dataset_manifest, embeddings, pair_metrics, pair_plots, similarity_matrix, report]
