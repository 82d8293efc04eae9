"""Image encoders: shapes, gradients, weights from files, and clear words when there are none."""

from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from geoloc_models._errors import GeolocError, MissingWeightsError
from geoloc_models.encoders import ENCODER_NAMES, build_encoder
from geoloc_models.encoders.image import _strip_prefixes


@pytest.mark.parametrize("size", [16, 64, 65])
def test_tiny_embeds_images_of_any_size(size):
    encoder = build_encoder("tiny")
    assert encoder(torch.zeros(2, 3, size, size)).shape == (2, encoder.dim)


def test_tiny_is_small():
    n_parameters = sum(p.numel() for p in build_encoder("tiny").parameters())
    assert 200_000 <= n_parameters <= 500_000


def test_gradient_reaches_every_parameter_of_tiny():
    torch.manual_seed(0)
    encoder = build_encoder("tiny")
    encoder(torch.randn(4, 3, 32, 32)).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_resnet50_loses_its_classifier():
    with torch.inference_mode():
        encoder = build_encoder("resnet50").eval()
        assert encoder(torch.zeros(1, 3, 64, 64)).shape == (1, 2048)
    assert not any("fc." in name for name, _ in encoder.named_parameters())


def test_vit_loses_its_classifier():
    encoder = build_encoder("vit_b_16").eval()
    with torch.inference_mode():
        assert encoder(torch.zeros(1, 3, 224, 224)).shape == (1, 768)


def test_unknown_name_lists_the_names():
    with pytest.raises(GeolocError, match="resnet99") as caught:
        build_encoder("resnet99")
    assert all(name in str(caught.value) for name in ENCODER_NAMES)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "backbone.", "encoder.backbone."])
def test_weights_come_from_a_file(tmp_path, suffix, prefix):
    torch.manual_seed(0)
    saved = build_encoder("tiny").backbone.state_dict()
    state = {prefix + name: tensor for name, tensor in saved.items()}
    state["head.layers.0.weight"] = torch.zeros(1)  # a classifier's: left out
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    loaded = build_encoder("tiny", weights=path).backbone.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in saved.items())


def test_prefixes_leave_the_vision_transformers_own_encoder_alone():
    with torch.device("meta"):
        state = build_encoder("vit_b_16").backbone.state_dict()
    assert _strip_prefixes(state, classifier="heads").keys() == state.keys()
    wrapped = {f"encoder.backbone.{name}": tensor for name, tensor in state.items()}
    assert _strip_prefixes(wrapped, classifier="heads").keys() == state.keys()


def test_weights_of_another_architecture_are_refused(tmp_path):
    torch.save({"stem.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(GeolocError, match=r"do not fit the encoder tiny"):
        build_encoder("tiny", weights=tmp_path / "other.pth")


def test_a_file_with_code_is_refused(tmp_path):
    torch.save({"evil": print}, tmp_path / "evil.pth")
    with pytest.raises(GeolocError, match="read safely"):
        build_encoder("tiny", weights=tmp_path / "evil.pth")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"nowhere\.pth"):
        build_encoder("tiny", weights=tmp_path / "nowhere.pth")


@pytest.mark.parametrize(
    ("name", "file_name"),
    [("resnet50", "resnet50-11ad3fa6.pth"), ("vit_b_16", "vit_b_16-c867db91.pth")],
)
def test_without_a_network_the_error_says_which_file_goes_where(
    monkeypatch, tmp_path, name, file_name
):
    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(MissingWeightsError) as caught:
        build_encoder(name, weights="imagenet")
    message = str(caught.value)
    assert file_name in message
    assert str(tmp_path / "hub" / "checkpoints") in message


def test_tiny_has_no_imagenet_weights():
    with pytest.raises(GeolocError, match="no ImageNet weights"):
        build_encoder("tiny", weights="imagenet")
