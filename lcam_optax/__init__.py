"""Loss-Controlled Asymmetric Momentum (LCAM) as an Optax transformation."""

from importlib.metadata import version as _version

from lcam_optax._lcam import ScaleByLcamState as ScaleByLcamState
from lcam_optax._lcam import lcam as lcam
from lcam_optax._lcam import scale_by_lcam as scale_by_lcam
from lcam_optax._loss_average import LossAverage as LossAverage
from lcam_optax._loss_average import ema_average as ema_average
from lcam_optax._loss_average import epoch_average as epoch_average
from lcam_optax._phase import Phase as Phase

__all__ = (
    "LossAverage",
    "Phase",
    "ScaleByLcamState",
    "ema_average",
    "epoch_average",
    "lcam",
    "scale_by_lcam",
)

__version__ = _version("lcam-optax")
