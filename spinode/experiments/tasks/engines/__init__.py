"""Engines that run tasks: anything with `submit(function, *arguments)` that returns an object with `done()`."""
