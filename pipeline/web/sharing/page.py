"""The page that a link opens: a picture or a player, the camera and the time, and nothing else."""

import html
from datetime import datetime
from zoneinfo import ZoneInfo

from pipeline.core.shared_links import SharedKind
from pipeline.web.sharing.opening import REFUSED, SharedMedia

_WORDS = {
    "en": {"picture": "Picture", "clip": "Clip", "refused": REFUSED},
    "de": {
        "picture": "Bild",
        "clip": "Aufnahme",
        "refused": "Dieser Link öffnet nichts oder nichts mehr.",
    },
}
# Its looks are a file of the application: the policy of its pages allows no other.
_PAGE = """<!doctype html>
<html lang="@LANG@">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>@TITLE@</title>
<link rel="stylesheet" href="/shared.css">
</head>
<body>
<main>
@BODY@
</main>
</body>
</html>
"""


def language_of(accepted: str) -> str:
    """German or English, by the header `Accept-Language`."""
    for part in accepted.lower().split(","):
        name = part.strip()[:2]
        if name in _WORDS:
            return name
    return "en"


def shared_page(media: SharedMedia, timezone: str, source: str, language: str) -> str:
    """The page of a picture or clip; `source` is its address."""
    words, camera = _WORDS[language], html.escape(media.link.camera)
    moment = _moment(media.at, timezone)
    label = f"{words[media.link.kind]}: {camera}, {moment}"
    shown = f'<img src="{html.escape(source)}" alt="{label}">'
    if media.link.kind is SharedKind.CLIP:
        address = html.escape(source)
        shown = f'<video src="{address}" controls muted playsinline aria-label="{label}"></video>'
    body = f"<h1>{camera}</h1>\n<p>{moment}</p>\n{shown}"
    return _filled(language, f"{camera}, {moment}", body)


def refused_page(language: str) -> str:
    """The page of everything that does not open."""
    sentence = html.escape(_WORDS[language]["refused"])
    return _filled(language, "moonwatch", f"<h1>{sentence}</h1>")


def _filled(language: str, title: str, body: str) -> str:
    page = _PAGE.replace("@LANG@", language).replace("@TITLE@", title)
    return page.replace("@BODY@", body)


def _moment(at: float, timezone: str) -> str:
    when = datetime.fromtimestamp(at, ZoneInfo(timezone))
    return f"{when:%Y-%m-%d, %H:%M:%S} ({timezone})"
