from .inference import Model as Model
from .inference import load_model as load_model

__version__: str
