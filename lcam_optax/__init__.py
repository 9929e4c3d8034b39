"""Loss-Controlled Asymmetric Momentum (LCAM) as an Optax transformation."""

from ._lcam import lcam as lcam
from ._lcam import scale_by_lcam as scale_by_lcam
from ._loss_average import LossAverage as LossAverage
from ._loss_average import ema_average as ema_average
from ._loss_average import epoch_average as epoch_average
from ._loss_average import median_average as median_average
from ._phase import Phase as Phase
from ._schedule import loss_phase_schedule as loss_phase_schedule
from ._states import LossPhaseState as LossPhaseState
from ._states import RecentLossesState as RecentLossesState
from ._states import ScaleByLcamState as ScaleByLcamState
from ._states import WeightedMeanState as WeightedMeanState

__all__ = (
    "LossAverage",
    "LossPhaseState",
    "Phase",
    "RecentLossesState",
    "ScaleByLcamState",
    "WeightedMeanState",
    "ema_average",
    "epoch_average",
    "lcam",
    "loss_phase_schedule",
    "median_average",
    "scale_by_lcam",
)

__version__ = "0.1.0"

# What is printed or pickled names the module that users import, and that will stay.
for _name in __all__:
    globals()[_name].__module__ = __name__
