"""GeoCLIP as a bundle: CLIP's image side, and what the package geoclip carries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from geoloc_models.countries import country_of
from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import summarise_training
from geoloc_models.inference.bundle import Bundle, save_bundle
from geoloc_models.models.encoders import LocationEncoder, build_encoder
from geoloc_models.models.encoders.weights import read_state_dict
from geoloc_models.models.options import TrainingOptions
from geoloc_models.models.tasks import RetrievalTask
from geoloc_models.photos.installed import find_installed_file
from geoloc_models.tables.demo import gallery_coordinates

CLIP = "openai/clip-vit-large-patch14"
CLIP_ENCODER = "timm:vit_large_patch14_clip_quickgelu_224"
_COAST_KM = 20.0
_PARTS = {
    "embeddings.class_embedding": "cls_token",
    "embeddings.position_embedding.weight": "pos_embed",
    "embeddings.patch_embedding.": "patch_embed.proj.",
    "pre_layrnorm.": "norm_pre.",
    "post_layernorm.": "norm.",
    "encoder.layers.": "blocks.",
    ".layer_norm": ".norm",
    ".self_attn.out_proj.": ".attn.proj.",
}


def import_geoclip(clip: str | Path, folder: str | Path, *, encoder: str = CLIP_ENCODER) -> None:
    """Write a bundle that answers as GeoCLIP does.

    Parameters
    ----------
    clip : path
        Weights of CLIP ViT-L/14 as the Hugging Face hub has them: ``model.safetensors`` or
        ``pytorch_model.bin`` of ``openai/clip-vit-large-patch14``, or their folder.
    folder : path
        The bundle; an older one there is replaced.
    encoder : str
        Architecture of CLIP's image side.

    Raises
    ------
    GeolocError
        If the weights are of another model, or a package is missing: geoclip has the other weights
        and the gallery, timm the architecture.

    Notes
    -----
    GeoCLIP [1]_ is a retrieval model: CLIP's image features, a perceptron, and a location encoder.
    CLIP's projection is multiplied into the perceptron's first layer. The second layer of the
    :class:`~geoloc_models.models.heads.MLPHead` is the identity, as ReLU of ReLU is ReLU.

    References
    ----------
    .. [1] Vivanco Cepeda, Nayak, Shah (2023), GeoCLIP.
    """
    state = read_state_dict(_weights_file(Path(clip)))
    try:
        projection, image_side = state["visual_projection.weight"], _image_side(state)
        network = build_encoder(encoder)
        network.backbone.load_state_dict(image_side)
    except (KeyError, RuntimeError) as error:
        raise GeolocError(f"{clip} does not hold the weights of {CLIP}.") from error
    network.preprocessing = replace(network.preprocessing, interpolation="bicubic")
    coords = gallery_coordinates()
    countries = country_of(coords, tolerance_km=_COAST_KM)
    countries[[country is None for country in countries]] = ""
    location = LocationEncoder.from_geoclip()
    task = RetrievalTask(
        network, location, coords, countries, n_false=4096, false_from="queue", hidden=768
    )
    perceptron = read_state_dict(_installed("image_encoder_mlp_weights.pth"))
    task.head.layers.load_state_dict(
        {
            "0.weight": perceptron["0.weight"] @ projection.float(),
            "0.bias": perceptron["0.bias"],
            "3.weight": torch.eye(768),
            "3.bias": torch.zeros(768),
            "6.weight": perceptron["2.weight"],
            "6.bias": perceptron["2.bias"],
        }
    )
    scale = torch.load(_installed("logit_scale_weights.pth"), weights_only=True)
    task.log_temperature.data.copy_(-scale.detach())
    options = TrainingOptions(encoder=encoder, image_size=network.preprocessing.image_size)
    summary = summarise_training(coords, countries)
    save_bundle(Bundle(task.eval(), options.to_dict(), summary, {"imported": "geoclip"}), folder)


def _weights_file(path: Path) -> Path:
    named = [path / name for name in ("model.safetensors", "pytorch_model.bin") if path.is_dir()]
    return next((file for file in named if file.is_file()), (named or [path])[0])


def _image_side(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """CLIP's image side by timm's names: queries, keys and values in one matrix."""
    renamed: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = key.removeprefix("vision_model.")
        if name == key or name.endswith("position_ids"):
            continue
        for old, new in _PARTS.items():
            name = name.replace(old, new)
        renamed[name] = tensor.float()
    renamed["cls_token"] = renamed["cls_token"][None, None]
    renamed["pos_embed"] = renamed["pos_embed"][None]
    for name in [name for name in renamed if ".self_attn.q_proj." in name]:
        parts = [renamed.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
        renamed[name.replace("self_attn.q_proj", "attn.qkv")] = torch.cat(parts)
    return renamed


def _installed(name: str) -> Path:
    return find_installed_file("geoclip", "geoclip", f"model/weights/{name}")
