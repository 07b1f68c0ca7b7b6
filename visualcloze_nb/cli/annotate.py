"""`visualcloze-nb annotate`: a condition image of one photograph, or a contact sheet of kinds x photographs."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from PIL import Image

from visualcloze_nb import photos
from visualcloze_nb.annotate import annotate, annotators, find, kinds
from visualcloze_nb.cli.arguments import new_file, whole
from visualcloze_nb.data.images import to_rgb
from visualcloze_nb.drawing.contact_sheet import contact_sheet
from visualcloze_nb.errors import ImageError, UsageError, VisualClozeError, shorten

SHEET = "annotate.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to annotate, and where to write it."""
    parser.add_argument("photo", nargs="?", help="an image file, or a name of visualcloze_nb.photos; else the sheet")
    parser.add_argument("kind", nargs="?", help="of condition image; --list prints them")
    parser.add_argument("-o", "--out", type=new_file(".png"), help=f"where to write; else KIND.png, or {SHEET}")
    parser.add_argument("--seed", type=whole(0), default=0, help="of the kinds that draw random numbers; else 0")
    parser.add_argument("--list", action="store_true", help="print the kinds, and which work on this machine")
    parser.add_argument("--kinds", help="of the sheet, with commas between; else all that work here")
    parser.add_argument("--photos", help="of the sheet: files or names, with commas between; else all bundled ones")
    parser.add_argument("--cell", type=whole(16), default=160, help="pixels of a cell's side in the sheet; else 160")


def run(options: argparse.Namespace) -> int:
    """Write one condition image, or the sheet and a table of the seconds that each kind takes."""
    if options.list:
        for kind, (works, note) in kinds().items():
            print(f"{kind:20}{'works' if works else 'no':6}{note}".rstrip())
        return 0
    if options.photo is None:
        return _sheet(options)
    if options.kind is None:
        raise UsageError("a photograph needs a kind: visualcloze-nb annotate PHOTO KIND; give one of those of --list")
    if options.kinds or options.photos:
        raise UsageError("--kinds and --photos choose what is in the sheet: give them without PHOTO and KIND")
    find(options.kind)  # a wrong kind is said before the photograph is read
    out = options.out or Path(f"{options.kind}.png")
    _save(annotate(_read(options.photo), options.kind, seed=options.seed), out)
    print(f"{options.kind}: {out.resolve()}")
    return 0


def _sheet(options: argparse.Namespace) -> int:
    chosen = _split(options.kinds) or [kind for kind, found in kinds().items() if found.works]
    for kind in chosen:
        find(kind)
    names = _split(options.photos) or photos.names()
    images = [_read(name) for name in names]
    rows, titles = [[_cell(image, options.cell) for image in images]], [[Path(name).stem for name in names]]
    for kind in chosen:
        row, seconds = [], []
        try:
            for image in images:
                start = time.perf_counter()
                made = annotate(image, kind, seed=options.seed)
                seconds.append(time.perf_counter() - start)
                row.append(_cell(made, options.cell))
        except VisualClozeError as error:  # one kind that does not work leaves the others
            print(f"{kind:20}left out: {error}")
            continue
        rows.append(row)
        titles.append([kind] * len(row))
        print(f"{kind:20}{max(seconds):6.2f} s at most")
    for kind, (works, note) in kinds().items():
        if not works and not options.kinds:
            print(f"{kind:20}left out: {note}")
    if len(rows) == 1:
        raise UsageError("no kind of image works here: run visualcloze-nb annotate --list, which says why")
    out = options.out or Path(SHEET)
    _save(contact_sheet(rows, titles, gap=4, margin=4), out)
    print(f"{len(rows) - 1} of {len(annotators())} kinds, {len(images)} photographs: {out.resolve()}")
    return 0


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _read(name: str) -> Image.Image:
    if name in photos.PHOTOS and not Path(name).exists():
        return photos.load(name)
    try:
        return to_rgb(name, where="the photograph")
    except ImageError as error:
        if Path(name).exists():
            raise
        raise ImageError(f"{shorten(error, 150)}, or give one of {', '.join(photos.PHOTOS)}") from error


def _cell(image: Image.Image, side: int) -> Image.Image:
    """The image in the middle of a white square."""
    small = image.copy()
    small.thumbnail((side, side))
    square = Image.new("RGB", (side, side), "white")
    square.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    return square


def _save(image: Image.Image, path: Path) -> None:
    """Write all of it or nothing."""
    partial = path.with_name(f".{path.name}.part")
    image.save(partial, format="PNG")
    os.replace(partial, path)
