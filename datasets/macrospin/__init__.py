"""The macrospin: the Landau-Lifshitz-Gilbert equation of one uniform magnetisation."""
