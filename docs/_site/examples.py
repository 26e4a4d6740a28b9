"""Settings of sphinx-gallery: the scripts of `tutorials/` and `gallery/` are run when the site is built."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst


def settings() -> dict[str, Any]:
    """Return the settings. With SPINODE_SITE_QUICK=1 no script is run, which shows text and links in seconds."""
    return {
        "examples_dirs": ["tutorials", "gallery"],
        "gallery_dirs": ["auto_tutorials", "auto_gallery"],
        "filename_pattern": r"\.py$" if os.environ.get("SPINODE_SITE_QUICK") != "1" else r"$^",
        "ignore_pattern": r"__init__\.py",
        "within_subsection_order": "FileNameSortKey",
        "abort_on_example_error": True,
        "download_all_examples": False,
        "show_signature": False,
        "show_memory": False,
        "min_reported_time": 0,
        "write_computation_times": False,  # that page loads its table from another server
        "plot_gallery": "True",
        "remove_config_comments": True,
        "image_scrapers": ("_site.examples.saved_pictures",),  # by its name: Sphinx stores its settings
        "reset_modules": (),
        "capture_repr": (),
    }


def saved_pictures(block: Any, variables: dict[str, Any], settings: dict[str, Any]) -> str:
    """Return the markup of the PNG files that a block of a script has saved beside it, and move them into the site."""
    folder = Path(variables["src_file"]).parent
    names = []
    for picture, name in zip(sorted(folder.glob("*.png")), variables["image_path_iterator"], strict=False):
        shutil.move(picture, name)
        names.append(name)
    return str(figure_rst(names, settings["src_dir"]))
