"""A gallery of 100 000 places: the search, beside encoding the gallery anew as geoclip's predict does.

``python -m tests.benchmarks.retrieval``. The image's own encoder, the same on both sides, is left out.
"""

from __future__ import annotations

import statistics
import sys
import warnings

import numpy as np
import torch

from geoloc_models.models.encoders import LocationEncoder
from geoloc_models.models.gallery import Gallery, embed_places
from geoloc_models.photos.demo import gallery_coordinates

from .timing import Row, in_turns, seconds, table

N_QUERIES = 1_000
K = 10


def queries_near(vectors: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Embeddings as an image encoder gives: those of some places of the gallery, with noise."""
    random = np.random.default_rng(seed)
    chosen = vectors[random.integers(len(vectors), size=n)]
    noise = random.normal(0, 0.5 / np.sqrt(vectors.shape[1]), chosen.shape)
    return np.asarray(chosen + noise, dtype=np.float32)


def geoclips_way() -> tuple[torch.nn.Module, torch.Tensor]:
    """geoclip's location encoder and its gallery, as its ``predict`` meets them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from geoclip.model.location_encoder import LocationEncoder as GeoclipEncoder
    coords = torch.from_numpy(gallery_coordinates()).float()
    return GeoclipEncoder().eval(), coords


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
    theirs, their_coords = geoclips_way()
    coords = gallery_coordinates()
    vectors: list[np.ndarray] = []
    seconds_of_embedding = seconds(
        lambda: vectors.append(embed_places(LocationEncoder.from_geoclip(), coords))
    )
    gallery = Gallery.from_vectors(vectors[0])
    queries = queries_near(gallery.vectors, N_QUERIES, seed=0)
    one, one_tensor = queries[:1], torch.from_numpy(queries[:1])

    answers: list[np.ndarray] = []
    theirs_once = seconds(
        lambda: answers.append(encode_and_search(theirs, their_coords, one_tensor))
    )
    ours, cosines = gallery.search(one, K)
    # Repeated coordinates have equal cosines: the places are compared, not the rows.
    same_places = bool(np.array_equal(coords[ours[0]], coords[answers[0][0]]))
    same_places |= bool(
        np.allclose(
            cosines[0], (gallery.vectors[answers[0][0]] @ one[0]) / np.linalg.norm(one), atol=1e-6
        )
    )

    times = in_turns(
        {
            "one": lambda: gallery.search(one, K),
            "thousand": lambda: gallery.search(queries, K),
            "product": lambda: queries @ gallery.vectors.T,
        }
    )
    median = {name: statistics.median(values) for name, values in times.items()}
    of_product = statistics.median(
        a / b for a, b in zip(times["thousand"], times["product"], strict=True)
    )
    return [
        Row("one query", "-", 1e3 * median["one"], unit="ms", at_most=20),
        Row(
            "one query",
            "geoclip, gallery encoded anew",
            theirs_once / median["one"],
            at_least=100,
            detail=f"geoclip {theirs_once:.1f} s, once",
        ),
        Row("1 000 queries", "-", median["thousand"], unit="s", at_most=1.0),
        Row("1 000 queries", "their matrix product", of_product),
        Row(
            "encoding the gallery, once",
            "geoclip",
            seconds_of_embedding / theirs_once,
            detail=f"{seconds_of_embedding:.1f} s",
        ),
        Row("answers that differ", "geoclip", 0.0 if same_places else 1.0, unit="", at_most=0),
    ]


if __name__ == "__main__":
    torch.set_num_threads(2)
    print(table(rows()))
    sys.exit(0)
