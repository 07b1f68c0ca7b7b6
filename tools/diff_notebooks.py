"""Show how a notebook differs, for `git diff`: cell by cell, with nbdime, and an image as a short checksum.

`make hooks` tells git to call it, with the seven arguments of an external diff program. Cell ids and execution
counts are left out: they follow from the rest.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

IMAGE = re.compile(r'(;base64,|"image/\w+": ")([A-Za-z0-9+/=]+)')


def without_images(text: str) -> str:
    """Replace each image in a notebook's JSON by the checksum of its data."""
    return IMAGE.sub(lambda found: found[1] + hashlib.sha256(found[2].encode()).hexdigest()[:12], text)


def main(argv: list[str] | None = None) -> int:
    """Print the difference of two versions; returns the exit status, which git takes for success only if it is 0."""
    name, old, _, _, new = (argv or sys.argv[1:])[:5]
    with TemporaryDirectory() as folder:
        sides = []
        for side, version in (("old", old), ("new", new)):
            path = Path(folder) / side / Path(name).name
            if version != "/dev/null":  # it is, for a file that is added or deleted
                path.parent.mkdir()
                path.write_text(without_images(Path(version).read_text(encoding="utf-8")), encoding="utf-8")
                version = str(path)
            sides.append(version)
        print(f"{name}:", flush=True)
        ignore = ["--ignore-id", "--ignore-details", "--ignore-metadata"]
        return subprocess.run([sys.executable, "-m", "nbdime", "diff", *ignore, *sides]).returncode


if __name__ == "__main__":
    sys.exit(main())
