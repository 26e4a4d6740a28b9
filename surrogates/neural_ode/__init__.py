"""Neural-ODE surrogates of driven devices: model, fit, evaluation, report and files."""
