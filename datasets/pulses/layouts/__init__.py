"""The layouts of pulse files, one file each.

A new layout is one new file in this folder that calls `register_layout`; nothing else lists it.
"""
