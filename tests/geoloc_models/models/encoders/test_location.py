"""Location encoders: projection, phases, geoclip's weights, and the way there and back."""

import io

import numpy as np
import pyproj
import pytest
import torch
from hypothesis import given
from strategies import coordinates

from geoloc_models.errors import GeolocError, MissingWeightsError
from geoloc_models.models.encoders import LocationEncoder, location
from geoloc_models.models.encoders.location import FourierFeatures, equal_earth
from geoloc_models.tables.demo import gallery_coordinates

PLACES = torch.tensor(
    [
        (47.3769, 8.5417),
        (59.3293, 18.0686),
        (0.0, 0.0),
        (90.0, 12.0),
        (-90.0, -3.0),
        (-33.9, 151.2),
    ],
    dtype=torch.float64,
)
EQUAL_EARTH = pyproj.Transformer.from_crs(
    "+proj=longlat +R=1 +no_defs", "+proj=eqearth +R=1 +no_defs", always_xy=True
)
SMALL = {"n_frequencies": 8, "hidden": 16, "dim": 4}


def small_encoder(kind="rff", **options):
    torch.manual_seed(0)
    return LocationEncoder(kind, **{**SMALL, **options})


@given(coordinates())
def test_projection_is_projs(coords):
    x, y = EQUAL_EARTH.transform(coords[:, 1], coords[:, 0])
    ours = equal_earth(torch.from_numpy(coords)).numpy()
    # PROJ takes the pole's arcsine slightly differently, and may call +-180 by its other name.
    x = np.where(np.abs(coords[:, 1]) < 180.0, x, np.copysign(x, coords[:, 1]))
    np.testing.assert_allclose(ours, np.column_stack([x, y]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("projection", ["equal_earth", "raw"])
def test_half_the_world_is_one_unit(projection):
    place = small_encoder(projection=projection).project(torch.tensor([[0.0, -180.0]]))
    # 66.50336 is printed with seven digits.
    assert place.tolist()[0] == pytest.approx([-1.0, 0.0], abs=1e-6)
    assert place.dtype == torch.float64


def test_raw_coordinates_are_longitude_and_latitude_over_180():
    place = small_encoder(projection="raw").project(torch.tensor([[45.0, 90.0]]))
    assert place.tolist() == [[0.5, 0.25]]


@pytest.mark.parametrize("kind", ["rff", "mlp"])
@pytest.mark.parametrize("projection", ["equal_earth", "raw"])
def test_one_meridian_has_one_embedding(kind, projection):
    encoder = small_encoder(kind, projection=projection)
    names = torch.tensor([(10.0, 180.0), (10.0, -180.0), (10.0, 540.0)], dtype=torch.float64)
    assert len(torch.unique(encoder(names), dim=0)) == 1


def test_phases_at_the_finest_sigma_are_exact():
    features = FourierFeatures(2.0**16, 256, generator=torch.Generator().manual_seed(0))
    place = equal_earth(torch.from_numpy(gallery_coordinates()[::500])) * 66.50336 / 180
    cycles = place.numpy() @ features.frequencies.numpy().T
    angle = 2 * np.pi * np.remainder(cycles.astype(np.longdouble), 1)
    expected = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    # A float32 cosine, and 300 000 cycles in float64: 3e5 * 2^-53 * 2 pi = 2e-10.
    assert np.abs(features(place).numpy() - expected).max() <= 5e-7
    # The same in float32 throughout is off by a tenth and more: the reason for float64.
    features.precision = "float32"
    assert np.abs(features(place).numpy() - expected).max() > 0.1


def test_one_metre_hardly_moves_an_embedding_and_ten_kilometres_do():
    torch.manual_seed(0)
    encoder = LocationEncoder()
    zurich = torch.tensor([[47.3769, 8.5417]], dtype=torch.float64)
    metre = torch.tensor([[1e-5, 0.0]], dtype=torch.float64)
    here, near, far = encoder(torch.cat([zurich, zurich + metre, zurich + 1e4 * metre]))
    assert (near - here).norm() < 0.1 * (far - here).norm()


def test_frequencies_are_spread_by_their_sigma():
    encoder = LocationEncoder()
    for features, sigma in zip(encoder.features, (2**0, 2**8, 2**16), strict=True):
        # 512 draws: the deviation's own deviation is 3 percent.
        assert features.frequencies.std().item() == pytest.approx(sigma, rel=0.12)
        assert features.frequencies.dtype == torch.float64


def test_frequencies_depend_on_the_seed_alone():
    torch.manual_seed(1)
    one = LocationEncoder(**SMALL, seed=3).features[2].frequencies
    torch.manual_seed(2)
    two = LocationEncoder(**SMALL, seed=3).features[2].frequencies
    assert torch.equal(one, two)
    assert not torch.equal(one, LocationEncoder(**SMALL, seed=4).features[2].frequencies)


def test_the_sum_of_branches_is_the_formula():
    encoder = small_encoder(sigmas=(1.0, 16.0))
    place = equal_earth(PLACES).numpy() * 66.50336 / 180
    expected = 0.0
    for features, branch in zip(encoder.features, encoder.branches, strict=True):
        angle = 2 * np.pi * place @ features.frequencies.numpy().T
        values = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
        for layer in branch[::2]:
            if layer is not branch[0]:
                values = np.maximum(values, 0.0)
            values = values @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        expected = expected + values
    np.testing.assert_allclose(encoder(PLACES).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["rff", "mlp"])
def test_an_embedding_is_float32_and_has_dim_numbers(kind):
    embedding = LocationEncoder(kind)(PLACES)
    assert embedding.shape == (len(PLACES), 512)
    assert embedding.dtype == torch.float32
    assert small_encoder(kind)(PLACES[:0]).shape == (0, 4)


@pytest.mark.parametrize("kind", ["rff", "mlp"])
def test_gradient_reaches_every_parameter(kind):
    encoder = small_encoder(kind)
    encoder(PLACES).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", ["rff", "mlp"])
def test_an_encoder_comes_back_from_its_config_and_weights(kind):
    encoder = small_encoder(kind, projection="raw", sigmas=(1, 2.0**16), seed=5)
    saved = io.BytesIO()
    torch.save(encoder.state_dict(), saved)
    saved.seek(0)
    again = LocationEncoder(**{**encoder.config(), "seed": 6})
    again.load_state_dict(torch.load(saved, weights_only=True))
    assert again.config() == {**encoder.config(), "seed": 6}
    assert torch.equal(again(PLACES), encoder(PLACES))


def test_frequencies_stay_float64_when_the_encoder_is_cast():
    encoder = small_encoder()
    before = encoder.features[2].frequencies.clone()
    encoder.to(torch.bfloat16)
    assert torch.equal(encoder.features[2].frequencies, before)
    assert encoder(PLACES).dtype == torch.bfloat16


def test_phases_are_exact_under_autocast():
    encoder = small_encoder()
    place = encoder.project(PLACES)
    expected = [features(place) for features in encoder.features]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for features, exact in zip(encoder.features, expected, strict=True):
            assert torch.equal(features(place), exact)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "fourier"}, "kind 'fourier' of a location encoder"),
        ({"projection": "mercator"}, "projection 'mercator'"),
        ({"precision": "half"}, "precision 'half'"),
        ({"sigmas": ()}, "sigmas must be positive"),
        ({"sigmas": (1.0, -2.0)}, "sigmas must be positive"),
        ({"dim": 0}, "dim"),
    ],
)
def test_options_that_make_no_encoder_are_refused(options, message):
    with pytest.raises(GeolocError, match=message):
        LocationEncoder(**options)


def test_bad_coordinates_are_refused():
    encoder = small_encoder()
    with pytest.raises(GeolocError, match="swapped"):
        encoder(torch.tensor([[95.0, 10.0]]))
    with pytest.raises(GeolocError, match="swapped"):
        encoder(torch.tensor([[torch.nan, 10.0]]))
    with pytest.raises(GeolocError, match=r"shape \(B, 2\)"):
        encoder(torch.zeros(3))


@pytest.fixture(scope="module")
def geoclip_embeddings():
    """Coordinates of the gallery, evenly spread over the file, and geoclip's own embeddings."""
    theirs = pytest.importorskip("geoclip.model.location_encoder").LocationEncoder().eval()
    coords = torch.from_numpy(gallery_coordinates()[::50])
    with torch.inference_mode():
        return coords, theirs(coords.float())


@pytest.mark.filterwarnings("ignore")  # of torch.jit in geoclip
def test_geoclips_weights_give_geoclips_embeddings(geoclip_embeddings):
    coords, expected = geoclip_embeddings
    encoder = LocationEncoder.from_geoclip()
    with torch.inference_mode():
        ours = torch.cat([encoder(part) for part in coords.split(300)])
    # Batches of another size round the last bit of a sum otherwise: 4e-6 within geoclip itself.
    assert (ours - expected).abs().max().item() <= 1e-5
    assert not encoder.training
    assert LocationEncoder(**encoder.config()).config() == encoder.config()


@pytest.mark.filterwarnings("ignore")
def test_geoclips_weights_in_float64_differ_by_geoclips_own_rounding(geoclip_embeddings):
    coords, expected = geoclip_embeddings
    with torch.inference_mode():
        ours = LocationEncoder.from_geoclip(precision="float64")(coords[:500])
    # float32 keeps 4e-4 of a phase of 2^8 * 4 cycles; the layers pass a tenth of that on.
    assert (ours - expected[:500]).abs().max().item() <= 1e-4


def test_without_geoclip_the_error_says_what_to_install(monkeypatch):
    def nowhere(*args):
        raise GeolocError("not there")

    monkeypatch.setattr(location, "find_installed_file", nowhere)
    with pytest.raises(MissingWeightsError, match="pip install geoclip"):
        LocationEncoder.from_geoclip()


def test_other_weights_under_geoclips_name_are_refused(monkeypatch, tmp_path):
    torch.save({"LocEnc0.head.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    monkeypatch.setattr(location, "find_installed_file", lambda *args: tmp_path / "other.pth")
    with pytest.raises(GeolocError, match="not those of geoclip"):
        LocationEncoder.from_geoclip()
