"""What stands on the shelf of the demo reader: lamps, documents page by page, an image and a film. Literal lists."""

from dataclasses import dataclass

from events.demo.catalogue import CATALOGUE


@dataclass(frozen=True)
class Lamp:
    """A lamp of the catalogue. `drawing` is its symbol in `lamps.svg`; `price` in euros; `light` in lumens."""

    key: str
    drawing: str
    name: str
    sort: str
    price: int
    size: str
    light: int
    text: str


@dataclass(frozen=True)
class Page:
    """A page of a document. `layout` and `scene` are templates; `marks` are the lamps of a scene that can be clicked."""

    layout: str
    title: str
    text: tuple[str, ...] = ()
    lamps: tuple[Lamp, ...] = ()
    scene: str = ""
    marks: tuple[Lamp, ...] = ()
    kicker: str = ""

    @property
    def words(self) -> str:
        """What a search looks at."""
        return " ".join(
            (self.kicker, self.title, *self.text, *(f"{lamp.name} {lamp.sort} {lamp.text}" for lamp in self.lamps))
        )


@dataclass(frozen=True)
class Medium:
    """A media of the shelf."""

    key: str
    kind: str
    title: str
    text: str
    pages: tuple[Page, ...] = ()
    seconds: int = 0
    cover: Page | None = None
    """All that can be seen of a media of the history."""

    @property
    def leaves(self) -> list[tuple[tuple[int, Page], tuple[int, Page]]]:
        """Front and back of each leaf, numbered from 1. A document has an even number of pages."""
        numbered = list(enumerate(self.pages, 1))
        return list(zip(numbered[::2], numbered[1::2], strict=True))

    @property
    def sections(self) -> list[tuple[int, Page]]:
        """The pages that a table of contents names."""
        return [(number, page) for number, page in enumerate(self.pages, 1) if page.layout != "contents"]

    @property
    def lamps(self) -> list[Lamp]:
        """The lamps of its pages, each once, in order."""
        return list(dict.fromkeys(lamp for page in self.pages for lamp in page.lamps + page.marks))


ORBE = Lamp("suspension-orbe", "orbe", "Orbe", "Pendant", 420, "Ø 32 cm", 1100,
            "A sphere of mouth-blown glass, smoked at the foot and clear at the crown, on a cap of brushed brass.")  # fmt: skip
ARC = Lamp("lampadaire-arc", "arc", "Arc", "Floor lamp", 690, "H 196 cm", 1400,
           "One line of steel that leaves the floor, crosses the sofa and stops above your book.")  # fmt: skip
FEUILLE = Lamp("applique-feuille", "feuille", "Feuille", "Wall lamp", 185, "H 38 cm", 450,
               "A leaf of folded brass. The light never meets the eye: it washes the wall.")  # fmt: skip
CHAMPIGNON = Lamp("lampe-champignon", "champignon", "Champignon", "Table lamp", 240, "H 34 cm", 520,
                  "Opal glass in one piece, cap and foot. Touch it to dim it, from dinner to midnight.")  # fmt: skip
CASCADE = Lamp("lustre-cascade", "cascade", "Cascade", "Chandelier", 1480, "H 120 cm", 2600,
               "Seven drops of glass at seven heights, hung by hand to the measure of your stairs.")  # fmt: skip
LUNE = Lamp("veilleuse-lune", "lune", "Lune", "Night light", 79, "Ø 16 cm", 60,
            "A small moon of porcelain on an ash stand, no brighter than the real one.")  # fmt: skip
BOUGEOIR = Lamp("bougeoir-laiton", "bougeoir", "Bougeoir", "Candlestick", 64, "H 26 cm", 12,
                "Turned from a single bar of brass, for the evenings when a lamp is too much.")  # fmt: skip
LIN = Lamp("abat-jour-lin", "lin", "Lin", "Table lamp", 210, "H 52 cm", 700,
           "Unbleached linen, sewn in Normandy, over a foot of turned walnut.")  # fmt: skip
PERLES = Lamp("guirlande-perles", "perles", "Perles", "Garland", 95, "L 12 m", 480,
              "Twenty pearls of frosted glass. Rain, frost and August may come.")  # fmt: skip
NOMADE = Lamp("lampe-nomade", "nomade", "Nomade", "Portable lamp", 149, "H 30 cm", 300,
              "Fourteen hours without a cable: from the table to the terrace, and back to the bed.")  # fmt: skip
NUAGE = Lamp("plafonnier-nuage", "nuage", "Nuage", "Ceiling lamp", 365, "L 64 cm", 2100,
             "Three clouds of pressed paper, so light that a draught tilts them.")  # fmt: skip
CUIVRE = Lamp("spot-cuivre", "cuivre", "Cuivre", "Spotlight", 118, "L 14 cm", 600,
              "A copper cone on a ball joint. It points, and it stays.")  # fmt: skip

LAMPS = (ORBE, ARC, FEUILLE, CHAMPIGNON, CASCADE, LUNE, BOUGEOIR, LIN, PERLES, NOMADE, NUAGE, CUIVRE)

WINTER_LIGHT = Medium(
    "winter-light",
    "document",
    "Winter Light",
    "The catalogue of the season: twelve lamps, four rooms and a garden.",
    (
        Page("cover", "Winter Light", scene="night", kicker="Catalogue 2026 – 2027"),
        Page(
            "letter",
            "When the day is short",
            (
                "In December the sun leaves Paris before five. What is left of the day is ours to light.",
                "A room does not need more light. It needs light in the right places: low beside the chair, warm above the"
                " table, almost nothing beside the bed.",
                "These twelve lamps were drawn for that. Turn the pages slowly; touch what you like.",
            ),
            kicker="Dear reader",
        ),
        Page("contents", "In this catalogue", kicker="Contents"),
        Page("scene", "The living room", ("Three pools of light, and the dark between them.",), scene="living",
             marks=(ARC, LIN)),
        Page("lamps", "To read, to talk, to doze", lamps=(ARC, LIN, CUIVRE), kicker="The living room"),
        Page("scene", "The long table", ("Hang them low: sixty centimetres above the plates.",), scene="dining",
             marks=(ORBE, BOUGEOIR)),
        Page("portrait", "Orbe", lamps=(ORBE,), kicker="The lamp of the season"),
        Page("scene", "The bedroom", ("The last light of the day should be within reach.",), scene="bedroom",
             marks=(CHAMPIGNON, FEUILLE)),
        Page("lamps", "Almost nothing", lamps=(CHAMPIGNON, FEUILLE, LUNE), kicker="The bedroom"),
        Page(
            "letter",
            "Breath and fire",
            (
                "A gather of glass leaves the furnace at eleven hundred degrees. Karim has four breaths before it is too"
                " stiff to listen.",
                "The first opens it, the second makes it round, the third makes it thin. The fourth, he says, is for luck.",
                "Then it cools for nineteen hours, slower than any of us would have the patience for.",
            ),
            lamps=(CASCADE,),
            kicker="In the workshop",
        ),
        Page("colours", "Six glasses", ("Every glass lamp comes in each of them.",), kicker="Colours"),
        Page("scene", "The garden", ("Snow is the best lampshade.",), scene="garden", marks=(PERLES, NOMADE)),
        Page("lamps", "Out of doors", lamps=(PERLES, NOMADE, BOUGEOIR), kicker="The garden"),
        Page("lamps", "For high ceilings", lamps=(CASCADE, NUAGE, ORBE), kicker="Stairs and halls"),
        Page("table", "All lamps", lamps=LAMPS, kicker="Sizes and prices"),
        Page("back", "Leave one on for us.", ("Showroom: 24 rue de l’Aurore, Paris", "Tuesday to Saturday, until dark")),
    ),
)  # fmt: skip

HANGING_GUIDE = Medium(
    "hanging-guide",
    "document",
    "How to Hang a Light",
    "A small guide: six pages, two drawings and a tape measure.",
    (
        Page("cover", "How to Hang a Light", scene="hang", kicker="A small guide"),
        Page(
            "letter",
            "Before you drill",
            (
                "Switch the power off at the board, not at the wall. Try the switch twice.",
                "Hold the lamp where you want it, and let somebody else sit down. The one who sits is right.",
                "Mark the spot with a pencil. Measure again after coffee.",
            ),
            lamps=(FEUILLE,),
            kicker="First",
        ),
        Page("scene", "Above a table", ("Sixty to seventy centimetres from wood to glass.",), scene="heights",
             marks=(ORBE,)),
        Page(
            "letter",
            "Beside a chair",
            (
                "The lower rim of the shade belongs at the height of your eyes, seated: about one metre and ten.",
                "Light comes over the left shoulder if you write with the right hand, and the other way round.",
            ),
            lamps=(ARC,),
            kicker="Then",
        ),
        Page("lamps", "Lamps of this guide", lamps=(ORBE, ARC, FEUILLE), kicker="To hang"),
        Page("back", "Now switch it on.", ("Questions? The showroom answers: 24 rue de l’Aurore, Paris",)),
    ),
)  # fmt: skip

POSTER = Medium("orbe-poster", "image", "Orbe, the Poster", "The lamp of the season, to print and pin up.")
FILM = Medium("blue-hour", "video", "The Blue Hour", "A film of 45 seconds: dusk comes, lamps answer.", seconds=45)

SHELF = {medium.key: medium for medium in (WINTER_LIGHT, HANGING_GUIDE, FILM, POSTER)}

SCENES = ("night", "living", "bedroom", "garden")
HISTORY = {
    told.key: Medium(
        told.key,
        told.kind,
        told.title,
        "",
        cover=Page("cover", told.title, scene=SCENES[number % len(SCENES)], kicker=told.kind),
    )
    for number, told in enumerate(CATALOGUE)
}
"""The media of which the demo hub has three months of history; recommendations lead to them."""

NETWORKS = {
    "linkedin": "LinkedIn",
    "facebook": "Facebook",
    "whatsapp": "WhatsApp",
    "pinterest": "Pinterest",
    "x": "X",
    "email": "E-mail",
}


@dataclass(frozen=True)
class Find:
    """Where words were found: a media, and in a document the page."""

    medium: Medium
    number: int = 0
    page: Page | None = None


def search(words: str) -> list[Find]:
    """The media and pages that hold every word, whatever its case; nothing for no words."""
    sought = words.casefold().split()
    return [
        find
        for medium in SHELF.values()
        for find in (Find(medium), *(Find(medium, number, page) for number, page in enumerate(medium.pages, 1)))
        if sought and all(word in _words(find) for word in sought)
    ]


def _words(find: Find) -> str:
    return (find.page.words if find.page else f"{find.medium.title} {find.medium.text}").casefold()
