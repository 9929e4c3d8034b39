"""Networks in Flax NNX."""

from models.mlp import MLP as MLP
from models.torch_weights import load_torch as load_torch
from models.torch_weights import save_torch as save_torch
from models.trained import TrainedNetwork as TrainedNetwork
from models.trained import load as load
from models.transformer import Transformer as Transformer
from models.wide_resnet import WideResNet as WideResNet

__all__ = (
    *("MLP", "TrainedNetwork", "Transformer", "WideResNet"),
    *("load", "load_torch", "save_torch"),
)
