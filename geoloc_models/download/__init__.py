"""Photos from the web to the disk: polite, wary of what comes, and resumable at any kill.

``download_photos`` does the whole job; see :class:`DownloadOptions` for what can be chosen.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
