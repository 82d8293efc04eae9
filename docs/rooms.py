"""The rooms whose public names the reference lists; what a room hands out stands in its ``__all__``."""

ROOMS = {
    "geocells": "Cells",
    "geocells.decoding": "From probabilities to places",
    "geocells.sphere": "Geometry on the sphere",
    "geocells.dask": "Cells by Dask",
    "geoloc_models": "Answers",
    "geoloc_models.tables": "Tables of photos",
    "geoloc_models.photos": "Photos",
    "geoloc_models.countries": "Countries",
    "geoloc_models.download": "Downloads",
    "geoloc_models.features": "Features",
    "geoloc_models.models": "Encoders, losses and tasks",
    "geoloc_models.training": "Training",
    "geoloc_models.inference": "Inference",
    "geoloc_models.evaluation": "Evaluation",
    "geoloc_models.reports": "Reports",
    "geoloc_models.reports.figures": "Figures",
}
