"""Surrogates of memory devices under programming pulses: drift, noise, retention and spread, with their fit."""
