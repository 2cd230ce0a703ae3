"""mkdocs: links from a page to files outside of docs/ become links to the repository."""

import posixpath
import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\[\]]+)\]\(((?:\.\./)+[^)\s]*)\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Rewrite the links of a page that leave docs/; without `repo_url`, to the file's name."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def rewritten(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[2]))
        if path.startswith("docs/"):
            return link[0]
        if config.repo_url:
            return f"[{link[1]}]({config.repo_url.rstrip('/')}/blob/HEAD/{path})"
        return f"`{path}`" if path.endswith(link[1]) else f"{link[1]} (`{path}`)"

    return _OUTSIDE.sub(rewritten, markdown)
