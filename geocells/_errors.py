"""Warnings of geocells; bad input raises the built-in ``ValueError`` and ``TypeError``."""


class GeocellsWarning(UserWarning):
    """Something was decided on the caller's behalf that the caller may want to know.

    Examples
    --------
    >>> import warnings
    >>> from geocells import GeocellsWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", GeocellsWarning)  # in this block it stops the program
    """
