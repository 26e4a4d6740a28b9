"""Trainers of networks that learn task after task, on exact weights and on memory devices."""

from .config import StreamConfig as StreamConfig
from .layers.activations import QuantisedActivation as QuantisedActivation, SignActivation as SignActivation
from .layers.bayesian import (
    BayesianLinear as BayesianLinear,
    BinaryBayesianLinear as BinaryBayesianLinear,
    GateActivation as GateActivation,
    gaussian_pairs as gaussian_pairs,
)
from .layers.bayesian_wrapper import Bayesian as Bayesian, to_bayesian as to_bayesian
from .layers.norm import TaskNorm as TaskNorm
from .layers.quantised import BinaryLinear as BinaryLinear, QuantisedLinear as QuantisedLinear
from .layers.quantised_conv import QuantisedConv2d as QuantisedConv2d, to_quantised as to_quantised
from .learners.bayesian import BayesianLearner as BayesianLearner
from .learners.equilibrium import EquilibriumPropagation as EquilibriumPropagation
from .learners.learner import Learner as Learner
from .learners.metaplastic import MetaplasticBNN as MetaplasticBNN, MetaplasticReal as MetaplasticReal
from .learners.network import NetworkLearner as NetworkLearner
from .learners.online import OnlineLearner as OnlineLearner
from .learners.plain import PlainLearner as PlainLearner
from .learners.quantised import MetaplasticQNN as MetaplasticQNN
from .learners.self_target import SelfDefinedTarget as SelfDefinedTarget
from .learners.vdsp import VDSPLearner as VDSPLearner
from .plugins.lwf import LwF as LwF
from .plugins.replay import Replay as Replay
from .results.metrics import AccuracyMatrix as AccuracyMatrix
from .results.result import StreamResult as StreamResult
from .results.uncertainty import Uncertainty as Uncertainty, roc_auc as roc_auc, uncertainty as uncertainty
from .rules.bayesian import BGD as BGD, MESU as MESU, BiMU as BiMU, TorchMESU as TorchMESU
from .rules.binary_momentum import BinaryMomentum as BinaryMomentum
from .rules.elastic import EWC as EWC, SI as SI, fisher_information as fisher_information
from .rules.metaplastic import MetaplasticAdam as MetaplasticAdam
from .rules.self_target import SelfTarget as SelfTarget
from .rules.vdsp import DeviceVariation as DeviceVariation, SwitchingLaw as SwitchingLaw
from .run import train as train, train_seeds as train_seeds
from .spiking.network import SpikingNetwork as SpikingNetwork
