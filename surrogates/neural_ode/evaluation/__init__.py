"""Evaluation of surrogates on recordings: scores, a linear baseline, and their assessment in sentences."""
