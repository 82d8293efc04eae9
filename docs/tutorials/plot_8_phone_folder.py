"""
A phone's folder to a map
=========================

A folder of photos, some with a GPS position: read the positions, ask a model about the others, and draw a map.
"""

# %%
# The folder
# ----------
#
# Twelve crops of a satellite image stand in for photos; two of three get the GPS position that a phone writes.

from pathlib import Path

import numpy as np
from PIL import Image

from geoloc_models import load_model
from geoloc_models.photos import scan_photos
from geoloc_models.training import demo_source, read_split

source = demo_source()
rows = read_split("runs/tutorial/cells_bottom_up").test[::17][:12]
folder = Path("runs/tutorial/phone")
folder.mkdir(parents=True, exist_ok=True)


def degrees(value):
    """Degrees, minutes and seconds, as EXIF has them."""
    minutes = 60 * (abs(value) % 1)
    return (int(abs(value)), int(minutes), round(60 * (minutes % 1), 2))


for number, row in enumerate(rows):
    exif = Image.Exif()
    if number % 3:
        latitude, longitude = source.table.coords[row]
        exif.get_ifd(0x8825).update(
            {1: "N", 2: degrees(latitude), 3: "E", 4: degrees(longitude)}
        )  # GPS
    source.images.load(row).save(folder / f"IMG_{number:04}.jpg", exif=exif, quality=92)

# %%
# Positions
# ---------
#
# ``geoloc index`` does the same and writes the table.

scan = scan_photos(folder, progress=False)
print(f"{scan.n_photos} photos, {scan.n_from_exif} with a position")
scan.frame[["path", "latitude", "longitude", "country"]].round(3)

# %%
# Ask about the others
# --------------------
#
# The model sees pixels alone, so the positions that there are show how far off it is.

model = load_model("runs/tutorial/cells_bottom_up")
answers = model.predict(folder).with_exif()
answers.to_dataframe().drop(columns=["class_probability"], errors="ignore").round(2)

# %%
# A map
# -----
#
# A page that works offline: small copies of the photos, answers, radii, and the positions as green dots.

answers.save_map(folder / "map.html", tiles=None)
print((folder / "map.html").stat().st_size // 1000, "kB")
answers.explore(tiles=None)

# %%
# Before you share photos, remove the positions: ``geoloc strip runs/tutorial/phone -o to-share/``.

print(f"{np.isfinite(answers.radius_90_km).sum()} of {len(rows)} answers have a radius")
