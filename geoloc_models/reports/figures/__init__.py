"""Pictures of a run: maps, errors, examples, features, confusion, training, certainty.

Functions take arrays and records and give Matplotlib figures, drawn without a screen, for print at
any ``width_mm``: 170 for a page or a slide, 80 for a column; the type has 7 to 9 points at any width. Under
``matplotlib.style.context("dark_background")`` they are drawn for a dark page. Colours are Okabe and
Ito's, which readers with any colour vision tell apart; lines also differ in dashes and markers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
