"""Online learning, one sample at a time: one file per rule, each with its plain-torch update, and the compiled loop."""

from .bgd import OnlineBGD as OnlineBGD
from .bimu import OnlineBiMU as OnlineBiMU
from .learn import learn_online as learn_online, run_online as run_online
from .mesu import OnlineMESU as OnlineMESU
from .rule import OnlineMethod as OnlineMethod, OnlineRule as OnlineRule, method_names as method_names, register as register
from .sgd import OnlineSGD as OnlineSGD
