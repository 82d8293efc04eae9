"""The errors a user can mend: each message is one clear sentence naming the row and the remedy."""


class GeolocError(ValueError):
    """Bad input from the user; the command line prints the message alone and exits with 2."""


class MissingWeightsError(GeolocError):
    """An encoder was asked for with weights that are not on this machine."""


class BrokenImageError(GeolocError):
    """A file that should hold an image cannot be read as one."""


def reason_of(error: BaseException) -> str:
    """What an error says, in one line without a full stop, to stand inside another's sentence."""
    return " ".join(str(error).split()).rstrip(".")
