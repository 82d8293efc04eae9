from . import losses as losses
from .encoders import LocationEncoder as LocationEncoder
from .encoders import build_encoder as build_encoder
from .options import ModelPlan as ModelPlan
from .options import TrainingOptions as TrainingOptions
from .tasks import TASKS as TASKS
from .tasks import PlaceTask as PlaceTask
