"""Baselines of scikit-learn, on summarised features."""

from __future__ import annotations

from typing import Any


def _pipeline(model: Any, pca: int | None) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), *([PCA(pca, random_state=0)] if pca else []), model)


def logreg(pca: int | None = None) -> Any:
    """Return logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return _pipeline(LogisticRegression(C=0.05, max_iter=500, class_weight="balanced"), pca)


def knn(pca: int | None = None) -> Any:
    """Return a vote of the nearest neighbours."""
    from sklearn.neighbors import KNeighborsClassifier

    return _pipeline(KNeighborsClassifier(15), pca)


def gaussian_nb(pca: int | None = None) -> Any:
    """Return one diagonal Gaussian per label."""
    from sklearn.naive_bayes import GaussianNB

    return _pipeline(GaussianNB(var_smoothing=1e-2), pca)


def svm(pca: int | None = None) -> Any:
    """Return a support vector machine with an RBF kernel."""
    from sklearn.svm import SVC

    return _pipeline(SVC(C=3.0, probability=True, class_weight="balanced", random_state=0), pca)


def build_pipeline(build: str, pca: int | None) -> Any:
    """Return the pipeline of a system, by the name of its function."""
    return globals()[build](pca)
