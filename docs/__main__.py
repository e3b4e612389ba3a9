"""``python -m docs [FOLDER]``: build the site from nothing, warnings being errors."""

import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import main

SOURCE = Path(__file__).parent
FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else "build/site")
doctrees = FOLDER.with_name(f"{FOLDER.name}.doctrees")
for made in (FOLDER, doctrees, SOURCE / "generated", SOURCE / "gallery"):
    shutil.rmtree(made, ignore_errors=True)
options = ["-W", "--keep-going", "-q", "-j", "2", "-d", str(doctrees)]
sys.exit(main([*options, str(SOURCE), str(FOLDER)]))
