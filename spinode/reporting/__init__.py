"""Common parts of all reports and figures: the HTML page, the remarks on it, and the canvas of plots."""
