"""Warnings of geocells; bad input raises the built-in ``ValueError`` and ``TypeError``."""


class GeocellsWarning(UserWarning):
    """A choice was made for the caller, who may want to know of it.

    Examples
    --------
    >>> import warnings
    >>> from geocells import GeocellsWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", GeocellsWarning)  # in this block it stops the program
    """
