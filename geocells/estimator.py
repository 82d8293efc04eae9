"""The contract of a scikit-learn estimator, kept without its import.

Importing ``sklearn.base`` brings in pandas and scipy.stats and takes longer than a whole fit; so the contract is met by
its methods, as scikit-learn allows, and scikit-learn itself is loaded only by those that need it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Self

from geocells.array_types import ArrayLike
from geocells.frames import labels_like


class Estimator:
    """Parameters by name, a readable repr, tags: what ``clone``, ``GridSearchCV`` and pipelines ask for.

    A subclass's ``__init__`` only stores its parameters under their names.
    """

    _estimator_type = "clusterer"

    @classmethod
    def _parameters(cls) -> dict[str, inspect.Parameter]:
        parameters = dict(inspect.signature(cls.__init__).parameters)
        del parameters["self"]
        return parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name, those of parameters that are estimators too with ``deep``."""
        values: dict[str, Any] = {}
        for name in self._parameters():
            value = getattr(self, name)
            values[name] = value
            if deep and hasattr(value, "get_params") and not isinstance(value, type):
                values |= {f"{name}__{key}": inner for key, inner in value.get_params().items()}
        return values

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters by name (``name__inner`` for those of a parameter that is an estimator)."""
        known = self._parameters()
        inner: dict[str, dict[str, Any]] = {}
        for key, value in parameters.items():
            name, _, rest = key.partition("__")
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for {type(self).__name__}; it has {', '.join(known)}."
                )
            if rest:
                inner.setdefault(name, {})[rest] = value
            else:
                setattr(self, name, value)
        for name, values in inner.items():
            getattr(self, name).set_params(**values)
        return self

    def __repr__(self) -> str:
        shown = [
            f"{name}={_short(getattr(self, name))}"
            for name, parameter in self._parameters().items()
            if not _is_same(getattr(self, name), parameter.default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _repr_html_(self) -> str:
        from sklearn.utils import estimator_html_repr

        return str(estimator_html_repr(self))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type="clusterer",
            target_tags=TargetTags(required=False),
            transformer_tags=None,
            classifier_tags=None,
            regressor_tags=None,
            input_tags=InputTags(two_d_array=True),
        )

    _fitted_attribute = "cells_"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, self._fitted_attribute)

    def _check_is_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(
                f"This {type(self).__name__} has no {self._fitted_attribute.strip('_')} yet: call fit(coords) first."
            )

    fit: Callable[..., Any]
    assign: Callable[..., Any]

    def fit_predict(
        self, coords: ArrayLike, feats: ArrayLike | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Build the cells and return ``labels_``, as a column or table of the kind that ``coords`` is."""
        return labels_like(self.fit(coords, feats, *args, **kwargs).labels_, coords)

    def predict(self, coords: ArrayLike, groups: ArrayLike | None = None) -> Any:
        """Do as :meth:`assign`, under scikit-learn's name."""
        return self.assign(coords, groups)


class CellEstimator(Estimator):
    """An estimator whose ``fit`` ends in a partition."""

    cells_: Any

    def _store(self, cells: Any, labels: Any) -> Self:
        """Store the outcome of a fit: a `CellPartition` and the images' labels (n,) int64."""
        self.cells_ = cells
        self.labels_ = labels
        self.centroids_ = cells.centroids
        self.counts_ = cells.counts
        self.n_cells_ = cells.n_cells
        self.n_features_in_ = 2
        return self

    def assign(self, coords: ArrayLike, groups: ArrayLike | None = None) -> Any:
        """Cell of each coordinate; see :meth:`CellPartition.assign`.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        self._check_is_fitted()
        return self.cells_.assign(coords, groups)


def _is_same(value: Any, default: Any) -> bool:
    """Tell whether a parameter has its default; never compares arrays or tables, which have no one answer."""
    return value is default or (type(value) is type(default) and bool(value == default))


def _short(value: Any) -> str:
    """Show a parameter on one line; a table or array of many by its kind and length alone."""
    text = repr(value)
    return text if "\n" not in text else f"<{type(value).__name__} of {len(value)}>"
