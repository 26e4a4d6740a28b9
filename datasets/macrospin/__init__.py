"""The reference magnet: the Landau-Lifshitz-Gilbert equation of one uniform magnetisation."""
