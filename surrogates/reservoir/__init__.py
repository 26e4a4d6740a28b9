"""Reservoirs of one device or several, time-multiplexed, with their readout and their controls."""

from .controls import EchoState as EchoState, LinearNodes as LinearNodes, TanhNodes as TanhNodes
from .device_run import Feedback as Feedback
from .information_capacity import (
    InformationCapacity as InformationCapacity,
    effective_rank as effective_rank,
    information_capacity as information_capacity,
)
from .masks import mask as mask
from .node import reservoirpy_node as reservoirpy_node
from .readout import Readout as Readout, RidgeStatistics as RidgeStatistics
from .time_multiplexed import Reservoir as Reservoir
