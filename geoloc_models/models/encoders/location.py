"""Location encoders: latitude and longitude become one vector, comparable with an image's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from geoloc_models.errors import GeolocError, MissingWeightsError
from geoloc_models.models.encoders.weights import read_state_dict
from geoloc_models.models.float64 import Float64Buffers
from geoloc_models.photos.installed import find_installed_file

_CHOICES = {
    "kind": ("rff", "mlp"),
    "projection": ("equal_earth", "raw"),
    "precision": ("float64", "float32"),
}

SIGMAS: tuple[float, ...] = (2.0**0, 2.0**8, 2.0**16)
"""Deviations of the random frequencies: from continents to 0.3 km."""

A1, A2, A3, A4 = 1.340264, -0.081106, 0.000893, 0.003796
EQUAL_EARTH_SCALE = 66.50336
"""Half the map's width, 2.7066, times this over 180 is 1."""


def equal_earth(coords: Tensor) -> Tensor:
    """Project to Equal Earth, on a sphere of radius 1, in the precision of the coordinates.

    Parameters
    ----------
    coords : Tensor
        (B, 2) float, latitude and longitude in degrees.

    Returns
    -------
    Tensor
        (B, 2) of the same precision: x eastwards in [-2.7066, 2.7066], y northwards in
        [-1.3174, 1.3174].

    Notes
    -----
    ``sin t = (sqrt 3 / 2) sin phi``, ``x = 2 sqrt 3 lambda cos t / (3 (9 A4 t^8 + 7 A3 t^6 + 3 A2 t^2 + A1))``,
    ``y = A4 t^9 + A3 t^7 + A2 t^3 + A1 t`` [1]_. Powers are written out one by one: in float32 the last
    bit depends on how they are taken, and published weights depend on the last bit.

    References
    ----------
    Savric, Patterson, Jenny (2019), The Equal Earth map projection, IJGIS 33(3).

    Examples
    --------
    >>> equal_earth(torch.tensor([[0.0, 180.0]])).tolist()[0][0]
    2.70662...
    """
    latitude, longitude = torch.deg2rad(coords).unbind(dim=1)
    t = torch.asin(math.sqrt(3.0) / 2.0 * torch.sin(latitude))
    slope = 9.0 * A4 * t**8 + 7.0 * A3 * t**6 + 3.0 * A2 * t**2 + A1
    x = 2.0 * math.sqrt(3.0) * longitude * torch.cos(t) / (3.0 * slope)
    y = A4 * t**9 + A3 * t**7 + A2 * t**3 + A1 * t
    return torch.stack([x, y], dim=1)


class FourierFeatures(Float64Buffers):
    """Cosines and sines of random frequencies.

    Parameters
    ----------
    sigma : float
        Deviation of the frequencies, in cycles per unit of the projected coordinates.
    n_frequencies : int
        Rows of ``R``.
    precision : {"float64", "float32"}
        Precision of the phase ``R v``.
    generator : torch.Generator
        Draws ``R``.

    Notes
    -----
    ``g(v) = [cos 2 pi R v, sin 2 pi R v]``, the rows of ``R`` drawn from N(0, sigma^2) [1]_. With
    a sigma of 2^16 a phase counts some hundred thousand cycles, of which float32 keeps a
    thirtieth: the product is taken in float64, the whole cycles are dropped, and only what is
    left of one cycle goes through cosine and sine in float32.

    References
    ----------
    .. [1] Tancik et al. (2020), Fourier features let networks learn high frequency functions in
       low dimensional domains, section 6.
    """

    frequencies: Tensor

    def __init__(
        self,
        sigma: float,
        n_frequencies: int,
        *,
        precision: Literal["float64", "float32"] = "float64",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.precision = precision
        drawn = torch.randn(n_frequencies, 2, generator=generator, dtype=torch.float64)
        self.register_buffer("frequencies", drawn * sigma)

    def forward(self, place: Tensor) -> Tensor:
        """Expand projected coordinates.

        Parameters
        ----------
        place : Tensor
            (B, 2), projected coordinates of the chosen precision.

        Returns
        -------
        Tensor
            (B, 2 F) float32. F is ``n_frequencies``: all cosines, then all sines.
        """
        place = place.to(self.frequencies.device)
        with torch.autocast(device_type=place.device.type, enabled=False):
            if self.precision == "float32":
                angle = 2.0 * math.pi * place.float() @ self.frequencies.float().T
            else:
                cycles = place.double() @ self.frequencies.T
                angle = 2.0 * math.pi * (cycles - cycles.round()).float()
            return torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)


class LocationEncoder(nn.Module):
    """Embed latitude and longitude, for models that compare photos with places.

    Parameters
    ----------
    kind : {"rff", "mlp"}, default "rff"
        ``"rff"``: random Fourier features for each of the sigmas, each with a perceptron of four
        layers, outputs summed. ``"mlp"``: a three-layer perceptron on the projected coordinates.
    projection : {"equal_earth", "raw"}, default "equal_earth"
        What the coordinates become first: their place on an Equal Earth map, or longitude and
        latitude as they are. Either way ±180 degrees of longitude are ±1.
    sigmas : sequence of float, default (2^0, 2^8, 2^16)
        Deviations of the frequencies ("rff" alone): cycles per unit, where a unit is half the
        world's width, 20 000 km at the equator.
    n_frequencies : int, default 256
        Frequencies per sigma ("rff" alone).
    hidden : int, default 1024
        Width of the hidden layers.
    dim : int, default 512
        ``D``, the length of an embedding.
    precision : {"float64", "float32"}, default "float64"
        Precision of the projection and of the frequencies' phases. float32 is for weights that
        were trained so; with a sigma of 2^16 it moves a place by tens of metres.
    seed : int, default 0
        Seed of the frequencies. The layers start from torch's own generator.

    Raises
    ------
    GeolocError
        Unknown kind, projection or precision, or a size that is not positive.

    Notes
    -----
    Frequencies are buffers: saved with the weights, not trained, in float64 whatever the module
    is cast to. Longitudes beyond 180 degrees wrap around, and 180 is -180. Embeddings are not
    normalised.

    References
    ----------
    .. [1] Vivanco Cepeda, Nayak, Shah (2023), GeoCLIP: Clip-inspired alignment between locations
       and images for effective worldwide geo-localization, section 3.2.

    Examples
    --------
    >>> encoder = LocationEncoder()
    >>> encoder(torch.tensor([[47.3769, 8.5417]], dtype=torch.float64)).shape
    torch.Size([1, 512])
    """

    def __init__(
        self,
        kind: Literal["rff", "mlp"] = "rff",
        *,
        projection: Literal["equal_earth", "raw"] = "equal_earth",
        sigmas: Sequence[float] = SIGMAS,
        n_frequencies: int = 256,
        hidden: int = 1024,
        dim: int = 512,
        precision: Literal["float64", "float32"] = "float64",
        seed: int = 0,
    ) -> None:
        super().__init__()
        sigmas = tuple(float(sigma) for sigma in sigmas)
        self._config: dict[str, Any] = {
            "kind": kind,
            "projection": projection,
            "sigmas": list(sigmas),
            "n_frequencies": n_frequencies,
            "hidden": hidden,
            "dim": dim,
            "precision": precision,
            "seed": seed,
        }
        for name, choices in _CHOICES.items():
            if self._config[name] not in choices:
                raise GeolocError(
                    f"Unknown {name} {self._config[name]!r} of a location encoder; use one of: "
                    f"{', '.join(choices)}."
                )
        for name in ("n_frequencies", "hidden", "dim"):
            if self._config[name] < 1:
                raise GeolocError(
                    f"The {name} of a location encoder must be at least 1; got {self._config[name]}."
                )
        if not sigmas or not all(sigma > 0 and math.isfinite(sigma) for sigma in sigmas):
            raise GeolocError(f"The sigmas must be positive numbers; got {sigmas}.")
        self.kind, self.projection, self.precision, self.dim = kind, projection, precision, dim
        generator = torch.Generator().manual_seed(seed)
        self.features = nn.ModuleList()
        if kind == "mlp":
            self.branches = nn.ModuleList([_perceptron(2, hidden, dim, n_hidden=2)])
            return
        self.features.extend(
            FourierFeatures(sigma, n_frequencies, precision=precision, generator=generator)
            for sigma in sigmas
        )
        self.branches = nn.ModuleList(
            _perceptron(2 * n_frequencies, hidden, dim, n_hidden=3) for _ in sigmas
        )

    def config(self) -> dict[str, Any]:
        """Arguments that build an encoder of the same shape: ``LocationEncoder(**config)``."""
        return dict(self._config)

    def project(self, coords: Tensor) -> Tensor:
        """Map (B, 2) latitude, longitude to (B, 2) x, y in [-1, 1], in the encoder's precision."""
        if coords.ndim != 2 or coords.shape[1] != 2:
            raise GeolocError(
                "Coordinates must have shape (B, 2), latitude and longitude; got "
                f"{tuple(coords.shape)}."
            )
        if coords.device.type == "cpu" and not bool((coords[:, 0].abs() <= 90.0).all()):
            raise GeolocError(
                "Latitude must lie in [-90, 90] degrees; some do not, or are missing. Are "
                "latitude and longitude swapped?"
            )
        if coords.device.type == "mps":
            coords = coords.cpu()
        coords = coords.to(torch.float32 if self.precision == "float32" else torch.float64)
        latitude, longitude = coords.unbind(dim=1)
        inside = (longitude >= -180.0) & (longitude < 180.0)
        longitude = torch.where(inside, longitude, torch.remainder(longitude + 180, 360) - 180)
        if self.projection == "raw":
            return torch.stack([longitude, latitude], dim=1) / 180.0
        return equal_earth(torch.stack([latitude, longitude], dim=1)) * EQUAL_EARTH_SCALE / 180.0

    def forward(self, coords: Tensor) -> Tensor:
        """Embed places.

        Parameters
        ----------
        coords : Tensor
            (B, 2) float64, latitude and longitude in degrees. B batch.

        Returns
        -------
        Tensor
            (B, D) float. D is ``self.dim``.

        Raises
        ------
        GeolocError
            If the shape is another or, on a CPU, a latitude is missing or beyond a pole.
        """
        weight = next(self.branches.parameters())
        place = self.project(coords)
        if self.kind == "mlp":
            return self._branch(0, place.to(weight.device, weight.dtype))
        embeddings = []
        for number, features in enumerate(self.features):
            expanded = features(place)
            embeddings.append(self._branch(number, expanded.to(weight.device, weight.dtype)))
        return sum(embeddings[1:], embeddings[0])

    def _branch(self, number: int, values: Tensor) -> Tensor:
        embedding: Tensor = self.branches[number](values)
        return embedding

    @classmethod
    def from_geoclip(cls, *, precision: Literal["float32", "float64"] = "float32") -> Self:
        """Build the trained encoder that the installed package ``geoclip`` carries.

        Parameters
        ----------
        precision : {"float32", "float64"}, default "float32"
            geoclip computes in float32: so does this encoder, and answers as geoclip does, to
            1e-5. In float64 the phases are exact; the numbers of an embedding, 0.07 at most, then
            differ from geoclip's by up to 4.3e-5.

        Returns
        -------
        LocationEncoder
            Three sigmas (2^0, 2^4, 2^8), Equal Earth, 512 numbers, in evaluation mode. The
            package is not imported and no code of it runs.

        Raises
        ------
        MissingWeightsError
            If geoclip is not installed.
        GeolocError
            If its weights are not those of the architecture known here.
        """
        try:
            path = find_installed_file(
                "geoclip", "geoclip", "model/weights/location_encoder_weights.pth"
            )
        except GeolocError as error:
            raise MissingWeightsError(
                "The location encoder's weights come in the package geoclip, which is not "
                "installed. Run: pip install geoclip"
            ) from error
        encoder = cls("rff", sigmas=(2.0**0, 2.0**4, 2.0**8), precision=precision)
        state = {_name_here(name): tensor for name, tensor in read_state_dict(path).items()}
        try:
            encoder.load_state_dict(state)
        except RuntimeError as error:
            raise GeolocError(
                f"The weights in {path} are not those of geoclip's location encoder of versions "
                "1.2 and 1.3; install one of these."
            ) from error
        return encoder.eval()


def _perceptron(n_in: int, hidden: int, n_out: int, *, n_hidden: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for _ in range(n_hidden):
        layers += [nn.Linear(n_in, hidden), nn.ReLU()]
        n_in = hidden
    return nn.Sequential(*layers, nn.Linear(n_in, n_out))


def _name_here(name: str) -> str:
    """Name here of a tensor of geoclip's: ``LocEnc2.capsule.3.bias`` is ``branches.2.2.bias``."""
    capsule, _, rest = name.partition(".")
    number = capsule.removeprefix("LocEnc")
    part, _, rest = rest.partition(".")
    layer, _, tensor = rest.partition(".")
    if tensor == "b":
        return f"features.{number}.frequencies"
    layer_here = 6 if part == "head" else int(layer) - 1 if layer.isdigit() else layer
    return f"branches.{number}.{layer_here}.{tensor}"
