"""What all reports and figures share: HTML pages and the canvas of plots."""
