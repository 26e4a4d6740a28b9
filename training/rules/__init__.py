"""Learning rules as optimisers for your own training loop: MESU, BGD, BiMU, metaplastic Adam, EWC and SI."""
