"""Recordings of memory devices, pulse by pulse: reading, writing and simulating them."""
