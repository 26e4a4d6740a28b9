"""Latent modes: a device with many modes behind few outputs, as complex modes with conservative learned forces."""
