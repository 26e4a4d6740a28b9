"""The fit of a Neural ODE: preparation, multiple shooting, choice among restarts, calibration, checkpoints."""
