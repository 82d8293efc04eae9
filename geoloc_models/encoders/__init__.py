"""Encoders turn an image into one vector; every model of the package stands on one."""

from geoloc_models.encoders.image import (
    ENCODER_NAMES,
    ImageEncoder,
    TinyBackbone,
    build_encoder,
)

__all__ = ["ENCODER_NAMES", "ImageEncoder", "TinyBackbone", "build_encoder"]
