"""Contact sheet: images in rows, each with a title, on one white page. Needs Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from visualcloze_nb.errors import UsageError


def contact_sheet(
    rows: Sequence[Sequence[Image.Image]],
    titles: Sequence[Sequence[str]] | None = None,
    gap: int = 8,
    margin: int = 0,
    font_size: int = 14,
) -> Image.Image:
    """Compose images at their own sizes into one image. Sheets nest: a sheet may be an image of another one.

    Args:
        rows: the images, row by row from the top; rows are centred, and may differ in length.
        titles: one text above each image, "" for none.
        gap: pixels between neighbouring images, and between rows.
        margin: pixels left and right of all rows and below them.
        font_size: of the titles, in pixels.

    Returns:
        an RGB image.

    Raises:
        ValueError: if there are no images, or the titles do not fit them.
    """
    if not rows or not all(rows):
        raise UsageError("there are no images: give a contact sheet at least one row, and one image in each")
    if titles is not None and [len(row) for row in titles] != [len(row) for row in rows]:
        raise UsageError("titles and images differ in number: give one title for each image")
    texts = titles or [[""] * len(row) for row in rows]
    font = ImageFont.load_default(font_size)
    widths = [
        [max(image.width, round(font.getlength(text))) for image, text in zip(*pair, strict=True)]
        for pair in zip(rows, texts, strict=True)
    ]
    lines = [font_size + 10 if any(row) else 0 for row in texts]
    heights = [line + max(image.height for image in row) for line, row in zip(lines, rows, strict=True)]
    row_widths = [sum(row) + gap * (len(row) - 1) for row in widths]
    size = (max(row_widths) + 2 * margin, sum(heights) + gap * (len(rows) - 1) + margin)
    page = Image.new("RGB", size, "white")
    pen, top = ImageDraw.Draw(page), 0
    for number, (row, line, height) in enumerate(zip(rows, lines, heights, strict=True)):
        left = (page.width - row_widths[number]) // 2
        for image, text, width in zip(row, texts[number], widths[number], strict=True):
            pen.text((left + width // 2, top + 2), text, fill="black", font=font, anchor="ma")
            page.paste(image, (left + (width - image.width) // 2, top + line))
            left += width + gap
        top += height + gap
    return page
