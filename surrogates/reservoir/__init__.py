"""Reservoirs of one device or several, time-multiplexed, with their read-out and their controls."""

from .controls import EchoState as EchoState, LinearNodes as LinearNodes, TanhNodes as TanhNodes
from .node import reservoirpy_node as reservoirpy_node
from .readout import Readout as Readout, RidgeStatistics as RidgeStatistics
from .reservoir import Feedback as Feedback, Reservoir as Reservoir, mask as mask
