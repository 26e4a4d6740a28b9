"""Shipped surrogates, each with a card."""
