from .batches import FeatureDataset as FeatureDataset
from .cache import FeatureCache as FeatureCache
from .cache import row_keys as row_keys
from .embed_options import EmbedOptions as EmbedOptions
from .embedding import EmbeddingRecord as EmbeddingRecord
from .embedding import embed as embed
