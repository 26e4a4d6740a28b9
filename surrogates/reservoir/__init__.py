"""Reservoirs of one device or several, time-multiplexed, with their readout and their controls."""

from .capacities import (
    InformationCapacity as InformationCapacity,
    effective_rank as effective_rank,
    information_capacity as information_capacity,
)
from .closed_loop import forecast as forecast, washout_length as washout_length
from .controls import EchoState as EchoState, LinearNodes as LinearNodes, TanhNodes as TanhNodes
from .device_run import Feedback as Feedback
from .masks import mask as mask
from .node import reservoirpy_node as reservoirpy_node
from .readout import Readout as Readout, RidgeStatistics as RidgeStatistics
from .recursive import RecursiveReadout as RecursiveReadout
from .time_multiplexed import Reservoir as Reservoir
