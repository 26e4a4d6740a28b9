"""Networks whose response is the fixed point of a dynamics: connections, dynamics, and the phases of equilibrium propagation.

Everything derives from one scalar, the primitive function of states s_1 .. s_L and input s_0:

    Phi = sum over l of s_l . (W_l s_(l-1) + b_l)

A connection is one term of it: dense, or a convolution with max pooling. A dynamics drives each state by dPhi/ds, a rule
(`training/rules/equilibrium.py`) changes the weights by dPhi/dW at two fixed points. Layers count from the input to the output.
"""
