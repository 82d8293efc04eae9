"""The errors a user can mend: each message is one clear sentence naming the row and the remedy."""


class GeolocError(ValueError):
    """Bad input from the user; the command line prints the message alone and exits with 2."""


class MissingWeightsError(GeolocError):
    """An encoder was asked for with weights that are not on this machine."""


class BrokenImageError(GeolocError):
    """A file that should hold an image cannot be read as one.

    Parameters
    ----------
    reason : str
        What is wrong, in words that follow the name: ``is truncated``.
    name : str, optional
        What the photo is called; set once by whoever knows it.
    """

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(reason, name)
        self.reason, self.name = reason, name

    def __str__(self) -> str:
        return self.reason if self.name is None else f"{self.name}: {self.reason}"


def reason_of(error: BaseException) -> str:
    """What an error says, in one line without a full stop, to stand inside another's sentence."""
    return " ".join(str(error).split()).rstrip(".")
