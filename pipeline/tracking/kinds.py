"""How fast a kind of thing usually moves, from the words a task asks for."""

import re
from itertools import takewhile

WALKER, ANIMAL, CYCLIST, VEHICLE = 0.7, 1.5, 2.5, 5.0
"""Typical speeds in own heights a second. People walk at .7 of their height, a cyclist goes at four
to five metres a second, a car of 1.5 m at seven or eight in a town."""

_WORDS = {
    WALKER: """
        person people human pedestrian man men woman women lady officer child children kid boy
        girl baby adult visitor customer guest passenger shopper worker employee staff guard
        driver player athlete walker face head body crowd wheelchair stroller pram pushchair
        trolley cart mensch menschen mann männer frau frauen kind kinder fußgänger fussgänger
        passant besucher kunde kunden gast gäste mitarbeiter arbeiter fahrer kopf gesicht
        rollstuhl kinderwagen einkaufswagen rollator koffer
    """,
    ANIMAL: """
        dog cat pony puppy kitten cow sheep goat pig horse deer fox hare rabbit bear boar animal
        bird duck goose geese chicken hen elephant zebra giraffe hund hündin katze kater kuh
        kühe schaf ziege schwein pferd reh hirsch fuchs füchse hase wildschwein tier vogel vögel
        ente gans gänse huhn hühner
    """,
    CYCLIST: """
        bicycle bike cycle cyclist biker rider scooter ebike skateboard skateboarder skater
        rollerblader jogger runner fahrrad fahrräder rad räder radfahrer radler roller
        scooterfahrer läufer skifahrer skier snowboarder
    """,
    VEHICLE: """
        car vehicle automobile suv sedan taxi cab van minivan truck lorry pickup trailer bus
        buses coach tram train motorcycle motorbike moped ambulance tractor boat ship ferry
        airplane plane aeroplane kfz pkw lkw auto fahrzeug wagen kombi transporter laster
        lastwagen lieferwagen sattelzug anhänger busse reisebus straßenbahn bahn zug züge
        motorrad motorräder mofa traktor krankenwagen feuerwehr boot schiff fähre flugzeug
    """,
}
_SPEEDS = {word: speed for speed, words in _WORDS.items() for word in words.split()}
_COMPOUND = tuple(
    sorted(
        (word for word in _SPEEDS if len(word) >= 4 and word not in ("rider", "cycle")),
        key=len,
        reverse=True,
    )
)
"""Words that may end a longer one, as in "Müllwagen" and "firetruck"."""
_ENDINGS = ("", "s", "es", "n", "en", "e", "innen", "in")
_ELSEWHERE = frozenset(
    (
        "in",
        "at",
        "near",
        "with",
        "behind",
        "beside",
        "before",
        "by",
        "of",
        "under",
        "next",
        "for",
        "without",
        "who",
        "that",
        "from",
        "outside",
        "inside",
        "im",
        "am",
        "bei",
        "mit",
        "hinter",
        "neben",
        "vor",
        "unter",
        "ohne",
        "aus",
        "zwischen",
        "der",
        "die",
        "das",
    )
)
"""After these words comes what the thing is near, and not what it is."""
_RIDING = frozenset(["on", "riding", "auf"])
"""After these comes what carries it."""


def usual_speed(label: str) -> float | None:
    """The typical speed in own heights a second of what `label` says; None if it is unknown.

    The last known word before "in", "near" and the like counts, so that a "red delivery van" is a
    van and a "driver beside a truck" is somebody on foot; what somebody is riding on counts more.
    """
    words = re.findall(r"[^\W\d_]+", label.casefold())
    own = list(takewhile(lambda word: word not in _ELSEWHERE, words)) or words
    known = [speed for word in own if (speed := _of(word)) is not None]
    if not known:
        return None
    riding = next((index for index, word in enumerate(own) if word in _RIDING), None)
    if riding is not None:
        return max(known)
    return known[-1]


def _of(word: str) -> float | None:
    word = word.removesuffix("ies") + "y" if word.endswith("ies") else word
    word = word.replace("wägen", "wagen")
    for ending in _ENDINGS:
        if word.endswith(ending) and (speed := _SPEEDS.get(word.removesuffix(ending))) is not None:
            return speed
    for ending in _ENDINGS:
        if word.endswith(ending):
            stem = word.removesuffix(ending) if ending else word
            for known in _COMPOUND:
                if stem.endswith(known):
                    return _SPEEDS[known]
    return None
