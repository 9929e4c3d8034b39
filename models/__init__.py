"""Networks in Flax NNX."""

from models.wide_resnet import WideResNet as WideResNet

__all__ = ("WideResNet",)
