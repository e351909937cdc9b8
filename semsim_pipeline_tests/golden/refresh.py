"""Rebuild the golden files from the shared reference and check what installed peers can recompute.

Run from the repository root: python -m semsim_pipeline_tests.golden.refresh ../shared/reference
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from semsim_pipeline_tests.golden import CASES, FOLDER, IDENTITY

# name: (rel, abs, reason). Only what our metrics answer to is kept.
KEPT = {
    "frechet_parts": (1e-9, 1e-9, "closed form, symmetric eigh"),
    "frechet_exact": (1e-12, 0.0, "mpmath at 40 digits"),
    "frechet": (1e-9, 1e-9, "closed form through sqrtm; 2e-6 where rank-deficient (see README)"),
    "frechet_ddof0": (0.0, 0.0, "WRONG on purpose: a value that ours must not equal"),
    "kid_full_unbiased": (1e-9, 1e-12, "closed form in float64; absolute for values near 0"),
    "kid_unbiased_first_n": (1e-9, 1e-12, "closed form in float64; absolute for values near 0"),
    "kid_subsets": (1e-6, 1e-9, "float64 sums over the peer's own draws"),
    "cmmd_l2": (1e-9, 1e-12, "plain float64: its kernel values near 1 cancel to 1e-11 of the result"),
    "spread": (1e-9, 0.0, "closed form, eigvalsh"),
    "prdc": (1e-12, 0.0, "counts of rows"),
    "precision_recall_k3": (1e-6, 0.0, "counts of rows, stored in float32 by the peer"),
    "cosine": (1e-9, 1e-12, "closed form in float64; absolute for values near 0"),
    "relative_cosine": (1e-9, 0.0, "closed form"),
    "c2st": (1e-9, 0.0, "same classifier, same folds"),
    "knn_same_label": (1e-12, 0.0, "counts of rows; ties on `dups` are broken arbitrarily by the peer"),
    "nn_distance": (1e-9, 0.0, "closed form"),
    "sliced_wasserstein": (1e-9, 0.0, "closed form on the peer's own directions"),
    "energy": (1e-9, 1e-12, "closed form in float64; absolute for values near 0"),
    "vendi_A": (1e-9, 0.0, "closed form; two peers agree to 2e-12"),
    "vendi_B": (1e-9, 0.0, "closed form; two peers agree to 2e-12"),
    "class_gauss_w2sq": (1e-9, 0.0, "closed form through sqrtm"),
    "cauchy_schwarz_similarity": (1e-9, 0.0, "closed form in float64"),
}
# Of a set against itself: what has one known answer whatever the rows.
KEPT_OF_IDENTITY = ("frechet_parts", "kid_full_unbiased", "cmmd_l2", "prdc")


def numbers(value: object) -> dict[str, float]:
    if isinstance(value, dict):
        nested = {name: numbers(x) for name, x in value.items() if isinstance(x, dict)}
        flat = {f"{side}_{name}": x for side, inner in nested.items() for name, x in inner.items()}
        return flat or {name: float(x) for name, x in value.items() if x == x}
    if isinstance(value, list):
        return {f"{i}/{j}": float(x) for i, row in enumerate(value) for j, x in enumerate(row)}
    assert isinstance(value, float | int)
    return {"value": float(value)}


def rebuild(shared: Path) -> dict[str, object]:
    stored = json.loads((shared / "reference_values.json").read_text(encoding="utf-8"))
    values: dict[str, dict[str, list[dict[str, object]]]] = {}
    for case in (*CASES, IDENTITY, "null_expectation"):
        kept = {**KEPT, "coverage": (1e-12, 0.0, "closed form")} if case == "null_expectation" else KEPT
        if case == IDENTITY:
            kept = {name: KEPT[name] for name in KEPT_OF_IDENTITY}
        values[case] = {
            name: [
                {**entry, "value": numbers(entry["value"]), "rel": rel, "abs": tolerance, "reason": reason}
                for entry in stored["values"][case][name]
            ]
            for name, (rel, tolerance, reason) in kept.items()
            if name in stored["values"][case]
        }
    with np.load(shared / "inputs.npz") as arrays:
        for case in CASES:
            sides = {"reference": arrays[f"{case}_0"], "candidate": arrays[f"{case}_1"]}
            if f"{case}_labels_0" in arrays:
                sides |= {f"labels_{word}": arrays[f"{case}_labels_{i}"] for i, word in enumerate(list(sides))}
            np.savez_compressed(FOLDER / f"{case}.npz", **sides)
    return {"versions": stored["meta"]["versions"], "commits": stored["meta"]["commits"], "values": values}


def recompute(case: str) -> dict[str, float]:
    """What the installed peers say today, by name: name/part."""
    import prdc
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.metrics.pairwise import cosine_similarity
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kernel_mmd, kid_features_to_metric

    with np.load(FOLDER / f"{case}.npz") as stored:
        a, b = stored["reference"], stored["candidate"]
    first = min(len(a), len(b))
    cubic = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None}
    found = {f"prdc/{name}": float(value) for name, value in prdc.compute_prdc(a, b, 5).items()}
    found["kid_unbiased_first_n/value"] = float(kernel_mmd(a[:first], b[:first], **cubic, kid_kernel_poly_coef0=1.0))
    subsets = kid_features_to_metric(
        torch.from_numpy(a),
        torch.from_numpy(b),
        kid_subsets=100,
        kid_subset_size=40 if case == "rankdef" else 200,
        verbose=False,
    )
    found["kid_subsets/kernel_inception_distance_mean"] = float(subsets["kernel_inception_distance_mean"])
    found["cosine/cross_mean"] = float(cosine_similarity(a, b).mean())
    statistics = [fid_features_to_statistics(torch.from_numpy(side)) for side in (a, b)]
    found["frechet/value"] = float(fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"])
    rows, labels = np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = LogisticRegression(C=1.0, max_iter=2000)
    scores = cross_val_predict(model, rows, labels, cv=folds, method="predict_proba")[:, 1]
    found["c2st/auc"] = float(roc_auc_score(labels, scores))
    return found


def main(shared: Path) -> None:
    golden = rebuild(shared)
    (FOLDER / "values.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    values = golden["values"]
    assert isinstance(values, dict)
    for case in CASES:
        for path, found in recompute(case).items():
            name, part = path.split("/")
            entry = next(
                e for e in values[case][name] if e["args"].get("k", 5) == 5 and e["args"].get("real", "A") == "A"
            )
            expected = entry["value"][part]
            # torch-fidelity's sqrtm adds 1e-6 where the covariance is rank-deficient.
            close = abs(found - expected) <= max(1e-9 * abs(expected), 1e-11 if name != "frechet" else 2e-6)
            sys.stdout.write(f"{'ok  ' if close else 'DIFF'} {case} {path} stored {expected:.12g} now {found:.12g}\n")
            if not close:
                raise SystemExit(f"{case} {path}: the installed peer no longer gives the stored value")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
