"""Learning rules as optimisers for loops of your own: MESU, BGD, BiMU, metaplastic Adam, EWC and SI."""
