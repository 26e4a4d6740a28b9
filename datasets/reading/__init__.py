"""Steps from the table of a file to a `Trace` in SI: units, the time column, file names, provenance."""
