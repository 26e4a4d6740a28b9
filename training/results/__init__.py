"""Results of a run over a stream: accuracies, uncertainties, their summary and plots."""
