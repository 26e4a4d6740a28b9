"""Check a built site: every local link and picture exists, every anchor too, and no page loads anything from the network.

python docs/_site/links.py build/site
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Attributes by which a page loads something; other addresses are links that a reader follows.
LOADS = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("video", "src")}
#: Links of pages, not loaded: relations between documents.
RELATIONS = {"canonical", "prev", "next", "index", "search", "author", "copyright"}


class PageParser(HTMLParser):
    """Collect the anchors and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect from one tag."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        relation = values.get("rel", "") in RELATIONS
        for name in ("href", "src"):
            if name in values:
                (self.loads if (tag, name) in LOADS and not relation else self.links).append(values[name])


def problems(root: Path) -> list[str]:
    """Return what is wrong with a site, one sentence each."""
    pages = {}
    for path in sorted(root.rglob("*.html")):
        parser = PageParser()
        parser.feed(path.read_text(encoding="utf-8"))
        pages[path.resolve()] = parser
    found = []
    for path, page in pages.items():
        shown = path.relative_to(root.resolve())
        found += [f"{shown} loads {each} from the network" for each in page.loads if urlsplit(each).netloc]
        for address in page.loads + page.links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                found.append(f"{shown} links to {address}, which does not exist")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{shown} links to {address}, which has no such anchor")
    return found


if __name__ == "__main__":
    wrong = problems(Path(sys.argv[1]))
    print("\n".join(wrong))
    sys.exit(bool(wrong))
