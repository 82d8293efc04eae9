"""The demo."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt

from geoloc_models.cli._shared import tell_skipped


def demo(
    *,
    region: Literal["sweden-switzerland", "world"] = "sweden-switzerland",
    output: Annotated[Path, Parameter(alias="-o")] = Path("runs/demo"),
    seed: NonNegativeInt = 0,
    epochs: PositiveInt | None = None,
    min_images: PositiveInt | None = None,
    resume: bool = False,
) -> None:
    """Run the whole job on data that came with the installation: places, cells, models, table.

    Satellite crops stand in for photos, which cannot be shipped; `geoloc train` takes your own.

    Parameters
    ----------
    region : {"sweden-switzerland", "world"}
        Two countries and 2 000 places (four to five minutes on two cores), or 20 000 places of the
        world (about half an hour).
    output : Path
        Folder for results, pictures and models.
    seed : int
        Of the split and the training.
    epochs : int, optional
        Epochs of each model; by default the region's own.
    min_images : int, optional
        Training images that a cell needs; by default the region's own.
    resume : bool
        Go on with an interrupted demo.
    """
    from geoloc_models.demo import run_demo

    result = run_demo(
        output,
        region=region,
        seed=seed,
        epochs=epochs,
        min_images=min_images,
        resume=resume,
        say=print,
    )
    print("\n" + result.table)
    tell_skipped(result.broken, output / "skipped.csv")
    print("\nPictures and results:")
    for path in result.files:
        print(f"  {path}")
