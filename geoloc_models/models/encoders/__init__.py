"""Encoders turn an image, or a place, into one vector; every model stands on one."""

from geoloc_models.models.encoders._fingerprint import fingerprint
from geoloc_models.models.encoders.cached import CachedFeatures
from geoloc_models.models.encoders.image import (
    ENCODER_NAMES,
    ImageEncoder,
    build_encoder,
    check_image_size,
    is_encoder_name,
    least_image_size,
)
from geoloc_models.models.encoders.location import LocationEncoder
from geoloc_models.models.encoders.preprocessing import Preprocessing
from geoloc_models.models.encoders.tiny import TinyBackbone

__all__ = [
    "ENCODER_NAMES",
    "CachedFeatures",
    "ImageEncoder",
    "LocationEncoder",
    "Preprocessing",
    "TinyBackbone",
    "build_encoder",
    "check_image_size",
    "fingerprint",
    "is_encoder_name",
    "least_image_size",
]
