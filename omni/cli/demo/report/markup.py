"""HTML from Python: strings are escaped, and only what ``tag`` made goes into the page as it is."""

from __future__ import annotations

from html import escape


class Markup(str):
    """A piece of finished HTML."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | int | bool | None) -> Markup:
    """An element; children that aren't ``Markup`` are escaped.

    Attribute names lose a trailing underscore and swap the others for hyphens (``class_``, ``aria_label``);
    ``True`` writes the bare name, ``None`` and ``False`` leave it out.
    """
    written = "".join(
        f" {_attribute_name(key)}" if value is True else f' {_attribute_name(key)}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in ("img", "br", "col", "source"):
        assert not children, f"<{name}> can't hold anything, got {children}"
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """Children one after the other, escaped where they aren't ``Markup``."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children))


def _attribute_name(key: str) -> str:
    return key.removesuffix("_").replace("_", "-")
