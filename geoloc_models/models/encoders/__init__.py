"""Encoders turn an image, or a place, into one vector; every model stands on one."""

from geoloc_models.models.encoders.image import (
    CachedFeatures,
    ImageEncoder,
    Preprocessing,
)
from geoloc_models.models.encoders.location import LocationEncoder
from geoloc_models.models.encoders.recipes import (
    ENCODER_NAMES,
    TinyBackbone,
    build_encoder,
    check_encoder,
    has_imagenet_weights,
    is_encoder_name,
)

__all__ = [
    "ENCODER_NAMES",
    "CachedFeatures",
    "ImageEncoder",
    "LocationEncoder",
    "Preprocessing",
    "TinyBackbone",
    "build_encoder",
    "check_encoder",
    "has_imagenet_weights",
    "is_encoder_name",
]
