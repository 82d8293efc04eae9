"""A gallery of 100 000 places: the search, beside encoding the gallery anew as geoclip's predict does.

The image's own encoder, the same on both sides, is left out.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import torch

from geoloc_models.models.encoders import LocationEncoder
from geoloc_models.models.gallery import Gallery, embed_places
from tests.benchmarks.real_density import gallery as gallery_coordinates
from tests.benchmarks.timing import Row, in_turns

N_QUERIES = 1_000
K = 10


def queries_near(vectors: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Embeddings as an image encoder gives: those of some places of the gallery, with noise."""
    random = np.random.default_rng(seed)
    chosen = vectors[random.integers(len(vectors), size=n)]
    noise = random.normal(0, 0.5 / np.sqrt(vectors.shape[1]), chosen.shape)
    return np.asarray(chosen + noise, dtype=np.float32)


@torch.no_grad()
def encode_and_search(
    encoder: torch.nn.Module, coords: torch.Tensor, query: torch.Tensor
) -> np.ndarray:
    """One answer the way of geoclip 1.3: the whole gallery through the encoder, then a product."""
    places = torch.nn.functional.normalize(encoder(coords), dim=1)
    image = torch.nn.functional.normalize(query, dim=1)
    shares = (image @ places.T / 0.0252).softmax(dim=-1)
    return torch.topk(shares, K, dim=1).indices.numpy()


def rows() -> list[Row]:
    """Measure everything of this file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from geoclip.model.location_encoder import LocationEncoder as GeoclipEncoder
    coords = gallery_coordinates()
    start = time.perf_counter()
    gallery = Gallery(embed_places(LocationEncoder.from_geoclip(), coords))
    embedded = time.perf_counter() - start
    queries = queries_near(gallery.vectors, N_QUERIES, seed=0)
    one = queries[:1]
    encoder = GeoclipEncoder().eval()
    start = time.perf_counter()
    theirs = encode_and_search(encoder, torch.from_numpy(coords).float(), torch.from_numpy(one))[0]
    theirs_once = time.perf_counter() - start
    ours, cosines = gallery.search(one, K)
    # Repeated coordinates have equal cosines: the places are compared, not the rows.
    is_same = np.array_equal(coords[ours[0]], coords[theirs]) or np.allclose(
        cosines[0], gallery.vectors[theirs] @ one[0] / np.linalg.norm(one), atol=1e-6
    )
    times = in_turns(
        {
            "one": lambda: gallery.search(one, K),
            "thousand": lambda: gallery.search(queries, K),
            "product": lambda: queries @ gallery.vectors.T,
        }
    )
    return [
        Row("one query", "-", 1e3 * times.median("one"), unit="ms", at_most=20),
        Row(
            "one query",
            "geoclip, gallery encoded anew",
            theirs_once / times.median("one"),
            at_least=100,
            detail=f"geoclip {theirs_once:.1f} s, once",
        ),
        Row("1 000 queries", "-", times.median("thousand"), unit="s", at_most=1.0),
        Row("1 000 queries", "their matrix product", times.ratio("thousand", "product")),
        Row(
            "encoding the gallery, once",
            "geoclip",
            embedded / theirs_once,
            detail=f"{embedded:.1f} s",
        ),
        Row("answers that differ", "geoclip", float(not is_same), unit="", at_most=0),
    ]
