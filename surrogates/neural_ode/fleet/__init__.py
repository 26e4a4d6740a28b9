"""Many devices of one kind: small Neural ODEs fitted side by side, and populations from which further devices are drawn."""
