"""What the documentation site is built with, beyond Sphinx: the API reference, settings of examples, a check of links."""
