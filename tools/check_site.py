"""Check the built site: links lead somewhere, ids are unique, images have alt text, nothing comes from elsewhere.

python -m tools.check_site .make/site        (make site does it)
"""

from __future__ import annotations

import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "link": "href"}  # what a page needs to be shown


class Page(HTMLParser):
    """What a page refers to, and what can be referred to in it.

    Attributes:
        links: addresses that a reader can follow, and those of images.
        loaded: addresses of scripts and style sheets.
        ids: every id, as often as it occurs.
        without_alt: images without alt text.
    """

    def __init__(self, html: str):
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: Counter[str] = Counter()
        self.without_alt = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note down what matters of one element."""
        values = {name: value or "" for name, value in attrs}
        self.ids.update([values["id"]] if values.get("id") else [])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "img":
            self.links.append(values.get("src", ""))
            self.without_alt += not values.get("alt", "").strip()
        if tag in LOADED and values.get("rel") not in ("canonical", "search", "index", "next", "prev"):
            self.loaded.append(values.get(LOADED[tag], ""))


def faults(site: Path) -> list[str]:
    """List what is wrong with a built site; addresses on other hosts are not looked up.

    Args:
        site: the folder with its pages.

    Returns:
        one line for each fault, naming the page.
    """
    paths = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]  # the theme's templates
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in paths}
    found = [] if pages else [f"{site} has no pages"]
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        found += [f"{name}: the id {key} occurs {count} times" for key, count in page.ids.items() if count > 1]
        found += [f"{name}: {page.without_alt} images without alt text"] if page.without_alt else []
        found += [f"{name}: loads {address}" for address in page.loaded if urlsplit(address).netloc]
        for link in sorted({*page.links, *page.loaded}):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                found.append(f"{name}: nothing at {link}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                found.append(f"{name}: no anchor at {link}")
    return found


def main(argv: list[str] | None = None) -> int:
    """Print the faults; returns the exit status."""
    site = Path((argv or sys.argv[1:])[0])
    found = faults(site)
    print("\n".join(found) or "Every link leads somewhere, every image has alt text.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
