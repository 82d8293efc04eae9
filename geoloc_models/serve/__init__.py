"""A local page to drop a photo on: where it was taken, how sure that is, and a map."""

from geoloc_models.serve.inference import PhotoPlacer
from geoloc_models.serve.upload import Limits, read_examples, read_upload

__all__ = ["Limits", "PhotoPlacer", "read_examples", "read_upload"]
