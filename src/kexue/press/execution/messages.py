"""What of a kernel's messages is taken: in the right form, and not more than a reader can read."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

TEXT_LIMIT = 1_000_000  # characters of text that a cell may print and display, HTML among them
IMAGE_LIMIT = 30_000_000  # characters of its images, as they are written in a notebook
OWN_LIMIT = 100_000_000  # characters of claims and measurements: ten million examples are none too few
ERROR_LIMIT = 20_000  # characters of what is kept of an exception, its message, its traceback
_OWN = "application/vnd.kexue."


class Gauge:
    """Measures what the cells of one run show, and cuts what is too much, where it arrives."""

    def __init__(self) -> None:
        self._shown: Counter[tuple[int, str]] = Counter()

    def lets(self, message: dict[str, Any], cell: int) -> bool:
        """Whether a message of the kernel is to be taken, after what is too much was cut from it in place.

        Args:
            message: the message.
            cell: which cell it is of.
        """
        content = message["content"]
        match message["msg_type"]:
            case "stream":
                return self._stream(content, cell)
            case "display_data" | "execute_result" | "update_display_data":
                self._display(content, cell)
            case "error":
                cut_error(content)
        return True

    def _stream(self, content: dict[str, Any], cell: int) -> bool:
        shown = self._shown[cell, "text"]
        if shown > TEXT_LIMIT:
            return False
        text = content["text"]
        self._shown[cell, "text"] += len(text)
        if shown + len(text) > TEXT_LIMIT:
            kept = text[: TEXT_LIMIT - shown]
            content["text"] = f"{kept}\n[output cut here: more than {TEXT_LIMIT:,} characters]\n"
        return True

    def _display(self, content: dict[str, Any], cell: int) -> None:
        content["data"] = dict(_text_is_text(mime, data) for mime, data in content["data"].items())
        for kind, limit in (("own", OWN_LIMIT), ("image", IMAGE_LIMIT), ("text", TEXT_LIMIT)):
            size = sum(_size(data) for mime, data in content["data"].items() if _kind(mime) == kind)
            self._shown[cell, kind] += size
            if size and self._shown[cell, kind] > limit:
                content["data"] = {"text/plain": f"[output left out here: more than {limit:,} characters]"}


def _text_is_text(mime: str, data: Any) -> tuple[str, Any]:
    """A form of an output; one that should be text and is not gets a name by which it is refused after the run."""
    sound = isinstance(data, str) or mime.endswith("json")
    return (mime, data) if sound else (f"{mime} that is {type(data).__name__}", json.dumps(data))


def _kind(mime: str) -> str:
    if mime.startswith(_OWN):
        return "own"
    return "image" if mime.startswith("image/") else "text"


def _size(data: Any) -> int:
    return len(data) if isinstance(data, str) else len(json.dumps(data))


def cut_error(content: dict[str, Any]) -> dict[str, Any]:
    """An exception's name, message and traceback with what is too long cut out, in place."""
    for name in ("ename", "evalue"):
        content[name] = _cut(str(content.get(name) or ""))
    content["traceback"] = [_cut("\n".join(map(str, content.get("traceback") or ())))]
    return content


def _cut(text: str) -> str:
    """The beginning and the end of a text that is too long: a traceback says most in its last lines."""
    if len(text) <= ERROR_LIMIT:
        return text
    half = ERROR_LIMIT // 2
    return f"{text[:half]}\n[{len(text) - 2 * half:,} characters left out]\n{text[-half:]}"
