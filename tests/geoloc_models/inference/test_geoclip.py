"""An imported GeoCLIP answers as geoclip itself does, here with a small CLIP of random weights."""

import numpy as np
import pytest
import timm
import torch
from command_line import geoloc_refuses
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models import generate_default_cfgs, register_model
from timm.models.vision_transformer import default_cfgs as known_cfgs

from geoloc_models import load_model
from geoloc_models.errors import GeolocError
from geoloc_models.inference.geoclip import CLIP_ENCODER, import_geoclip
from geoloc_models.tables.demo import gallery_coordinates

default_cfgs = generate_default_cfgs(
    {"vit_clip_of_tests": vars(known_cfgs["vit_large_patch14_clip_quickgelu_224"].default)}
)


@register_model
def vit_clip_of_tests(pretrained=False, **options):
    """CLIP's image side with two narrow layers."""
    name = CLIP_ENCODER.removeprefix("timm:")
    return timm.create_model(name, embed_dim=64, depth=2, num_heads=4, **options)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Folder of a CLIP as the hub has it, with its processor."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(0)
    vision = {
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "patch_size": 14,
    }
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "vocab_size": 50}
    text |= {"num_attention_heads": 2, "bos_token_id": 0, "eos_token_id": 2}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=768))
    for parameter in model.vision_model.parameters():  # so that pictures differ
        parameter.data += 0.3 * torch.randn_like(parameter)
    folder = tmp_path_factory.mktemp("clip")
    model.save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)
    return folder


def test_it_answers_as_geoclip_does(clip, tmp_path, monkeypatch):
    from geoclip import GeoCLIP

    gallery = gallery_coordinates()[:300]  # of all, geoclip takes half a minute a picture
    monkeypatch.setattr("geoloc_models.inference.geoclip.gallery_coordinates", lambda: gallery)
    import_geoclip(clip, tmp_path / "bundle", encoder="timm:vit_clip_of_tests")
    model = load_model(tmp_path / "bundle")
    theirs = GeoCLIP(clip_path=str(clip)).eval()
    theirs.gps_gallery = theirs.gps_gallery[:300]
    random = np.random.default_rng(0)
    for number, size in enumerate([(224, 224), (300, 401), (517, 255)]):
        waves = np.sin(np.linspace(0, 9 + number, size[0]))[:, None, None]
        pixels = 128 + 100 * waves * random.random((1, size[1], 3))
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        points, probabilities = theirs.predict(str(path), top_k=5)
        answers = model.predict(path, names=False)
        np.testing.assert_allclose(answers.coords[0], points[0].numpy(), atol=1e-4)
        ours = np.sort(answers.probabilities.toarray()[0])[::-1][:5]
        np.testing.assert_allclose(ours, probabilities.numpy(), rtol=0.02)
    assert len(set(model.predict(tmp_path, names=False).coords[:, 0])) > 1


def test_the_command_refuses_what_is_no_clip(clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = load_file(clip / "model.safetensors")
    save_file({"a": torch.zeros(1)}, "other.safetensors")
    small = {name: tensor for name, tensor in state.items() if "layers.1." not in name}
    save_file(small, "small.safetensors")
    assert "other.safetensors does not hold" in geoloc_refuses(
        "import", "geoclip", "--clip", "other.safetensors"
    )
    assert "nothing.pth" in geoloc_refuses("import", "geoclip", "--clip", "nothing.pth")
    with pytest.raises(GeolocError, match="does not hold the weights"):
        import_geoclip("small.safetensors", "bundle", encoder="timm:vit_clip_of_tests")
    assert not (tmp_path / "bundle").exists()
