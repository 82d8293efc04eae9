"""``python -m geoloc_models`` is ``geoloc``."""

from geoloc_models.cli import main

if __name__ == "__main__":
    main()
