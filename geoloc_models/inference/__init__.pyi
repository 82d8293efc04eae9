from .calibration_report import CalibrationReport as CalibrationReport
from .decoders import JudgedDecoders as JudgedDecoders
from .decoders import judge_decoders as judge_decoders
from .export import export_onnx as export_onnx
from .model import Model as Model
from .model import load_model as load_model
from .network import run_network as run_network
from .predictions import PhotoPredictions as PhotoPredictions
