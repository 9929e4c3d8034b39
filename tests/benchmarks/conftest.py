"""Benchmarks take all devices unless told otherwise: the tests want one."""

from tests.train.conftest import _one_device

__all__ = ["_one_device"]
