"""Reports: results as tables of text, as Markdown and HTML, and the pictures."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
