"""Check that a wheel contains every file of the four folders under the one import package, and nothing else."""

import sys
import zipfile
from pathlib import Path

PACKAGES = {"spinode": "spinode"} | {room: f"spinode/{room}" for room in ("datasets", "surrogates", "training")}

contained = {name for name in zipfile.ZipFile(sys.argv[1]).namelist() if not name.endswith("/")}
wanted = {
    f"{package}/{file.relative_to(folder).as_posix()}"
    for folder, package in PACKAGES.items()
    for file in Path(folder).rglob("*")
    if file.is_file() and "__pycache__" not in file.parts and file.suffix not in (".cpp", ".hpp")
}
extra = {
    name for name in contained - wanted if not name.startswith("spinode-") and not name.startswith("spinode/kernels/_native.")
}
if wanted - contained or extra:
    sys.exit(f"missing in the wheel: {sorted(wanted - contained)}\nnot from the four folders: {sorted(extra)}")
print(f"{len(wanted)} files of the four folders are in the wheel")
