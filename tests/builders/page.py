"""What tests of pages share: a reader of their elements, and text that tries to be more than text."""

from __future__ import annotations

import html.parser

HOSTILE = (
    "</script><script>alert(1)</script><!-- \"'&lt; \u202egnp.exe\u2066 \x00\x1b[31m ]]> <img src=x onerror=alert(2)>"
)


class Elements(html.parser.HTMLParser):
    """Collects elements, what scripts hold, and checks that every element is closed."""

    VOID = frozenset({"meta", "input", "link", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.shown: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            if self.open[-1] == "script":
                self.scripts.append(data)
        else:
            self.shown.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.shown).split())
