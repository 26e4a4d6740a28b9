"""Micromagnetics of a film of one layer of cells: skyrmions and other textures, from drive to trace."""

from .film import Film as Film
from .magnum import simulate_with_magnum as simulate_with_magnum
from .run import FilmRun as FilmRun
from .shapes import disc as disc, grained as grained, rectangle as rectangle, skyrmions as skyrmions
from .skyrmion import skyrmion_device as skyrmion_device
