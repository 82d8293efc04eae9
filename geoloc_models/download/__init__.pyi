from .download_options import DownloadOptions as DownloadOptions
from .download_options import State as State
from .job import DownloadSummary as DownloadSummary
from .job import download_photos as download_photos
from .queue import read_ledger as read_ledger
