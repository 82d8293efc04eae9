from .encoders import LocationEncoder as LocationEncoder
from .encoders import build_encoder as build_encoder
from .options import ModelPlan as ModelPlan
from .options import TrainingOptions as TrainingOptions
