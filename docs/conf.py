"""The course as a site: `make site` builds it with Sphinx, from the notebooks and documents where they stand.

Nothing is executed: the pages show the committed outputs. The source folder is the repository's root, so that every
link that works there works here.
"""

import os
import re
import tomllib
from pathlib import Path

from docutils.utils.math.latex2mathml import tex2mathml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SLUG = PROJECT["tool"]["visualcloze_nb"]["slug"]

project = "VisualCloze, opened up"
author = PROJECT["project"]["authors"][0]["name"]
root_doc = "README"
include_patterns = [
    "*.md",
    "docs/*.md",
    "notebooks/*.md",
    "notebooks/*.ipynb",
    "notebooks/solutions/*.ipynb",
    "visualcloze_nb/*/*.md",
]
exclude_patterns = [".*"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

default_role = "literal"  # docstrings write `name`, as Markdown does
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
napoleon_use_rtype = False

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_theme_options = {
    "repository_url": f"https://github.com/{SLUG}",
    "use_repository_button": True,
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the sidebar has the search field
    "show_toc_level": 2,
}
templates_path = ["."]
html_additional_pages = {"index": "index.html"}  # leads to the first page, which is the README


def contents() -> str:
    """The site's table of contents, in the order of the course."""

    def lessons(folder: str) -> list[str]:
        return [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / folder).glob("*.ipynb"))]

    parts = {
        "Lessons": ["notebooks/README", *lessons("notebooks"), "notebooks/cheat_sheet"],
        "Package": ["docs/builder", "docs/api", "visualcloze_nb/tiny/README", "visualcloze_nb/tiny/evaluation"],
        "Solutions": lessons("notebooks/solutions"),
        "Project": ["visualcloze_nb/training/README", "CONTRIBUTING", "CHANGELOG"],
    }
    lists = (f":caption: {name}\n:hidden:\n\n" + "\n".join(pages) for name, pages in parts.items())
    return "".join(f"\n```{{toctree}}\n{text}\n```\n" for text in lists)


def link_folders(text: str, page: Path) -> str:
    """Let a link to a folder lead to a page: its README, else its first notebook, else the folder on GitHub."""

    def lead(found: re.Match[str]) -> str:
        folder = page.parent / found[1]
        if "://" in found[1] or not folder.is_dir():
            return found[0]
        pages = [path for path in (folder / "README.md", *sorted(folder.glob("*.ipynb"))) if path.exists()]
        if pages:
            return f"]({os.path.relpath(pages[0], page.parent)})"
        return f"](https://github.com/{SLUG}/tree/main/{folder.resolve().relative_to(ROOT).as_posix()})"

    return re.sub(r"\]\(([^)\s]+)\)", lead, text)


def read_source(app, docname: str, source: list[str]) -> None:
    """Add the table of contents to the first page, "solution" to titles, and a page to links that lead to a folder."""
    page = Path(app.env.doc2path(docname))
    if page.suffix == ".md":
        source[0] = link_folders(source[0], page)
    if docname.startswith("notebooks/solutions/"):  # JSON: the first text is the title
        source[0] = re.sub(r'"(# \d\d .+?)(\\n|")', r'"\1: solution\2', source[0], count=1)
    if docname == root_doc:
        source[0] += contents()


def keep_first_sentence(app, what: str, name: str, obj, options, lines: list[str]) -> None:
    """Keep napoleon from reading the words before a colon as the type of a property."""
    if what == "property" and lines:
        lines[0] = lines[0].replace(": ", " – ", 1)


def mathml(as_block: bool):
    """A renderer of formulas that needs neither a script nor a network."""
    from docutils.nodes import SkipNode

    def visit(translator, node) -> None:
        translator.body.append(tex2mathml(node.astext(), as_block=as_block))
        raise SkipNode

    return visit, None


def setup(app) -> None:
    app.connect("source-read", read_source)
    app.connect("autodoc-process-docstring", keep_first_sentence, priority=400)  # napoleon has 500
    app.add_html_math_renderer("mathml", inline_renderers=mathml(False), block_renderers=mathml(True))
