"""The media of the demo hub, and what its readers look for. Literal lists; titles as a customer would write them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Medium:
    """A media of the demo. `age`: days from its launch to the end of the history; `appeal`: its share of visits."""

    key: str
    kind: str
    title: str
    age: int
    appeal: int
    pages: int | None = None
    seconds: int | None = None


CATALOGUE = (
    Medium("catalogue-automne-hiver", "document", "Catalogue Automne-Hiver", 64, 60, pages=120),
    Medium("catalogue-printemps-ete", "document", "Catalogue Printemps-Été", 400, 14, pages=112),
    Medium("catalogue-noel", "document", "Le Catalogue de Noël", 16, 70, pages=84),
    Medium("lookbook-nuit-doree", "document", "Lookbook « Nuit dorée »", 38, 40, pages=36),
    Medium("lookbook-atelier", "document", "Lookbook Atelier", 120, 14, pages=28),
    Medium("lighting-guide", "document", "The Lighting Guide: Room by Room", 210, 22, pages=64),
    Medium("guide-du-salon", "document", "Guide du salon", 95, 18, pages=48),
    Medium("guide-de-la-chambre", "document", "Guide de la chambre", 88, 12, pages=44),
    Medium("guide-cuisine", "document", "Guide de la cuisine ouverte", 150, 12, pages=52),
    Medium("guide-exterieur", "document", "Lumières d’extérieur", 260, 7, pages=40),
    Medium("professional-price-list", "document", "Professional Price List", 75, 10, pages=96),
    Medium("tarif-professionnel", "document", "Tarif professionnel", 75, 12, pages=96),
    Medium("contract-projects", "document", "Contract Projects: Hotels & Restaurants", 180, 8, pages=72),
    Medium("rapport-durabilite", "document", "Rapport de durabilité", 110, 5, pages=58),
    Medium("collection-verre-souffle", "document", "Collection Verre soufflé", 29, 24, pages=24),
    Medium("collection-laiton", "document", "Collection Laiton", 140, 10, pages=20),
    Medium("collection-lin", "document", "Linen & Light", 52, 13, pages=22),
    Medium("care-instructions", "document", "Care Instructions", 330, 4, pages=8),
    Medium("notice-suspension-orbe", "document", "Notice de montage : suspension Orbe", 300, 4, pages=8),
    Medium("dossier-de-presse", "document", "Dossier de presse", 60, 6, pages=18),
    Medium("magazine-clarte-1", "document", "Clarté, le magazine n° 1", 200, 8, pages=68),
    Medium("magazine-clarte-2", "document", "Clarté, le magazine n° 2", 24, 26, pages=76),
    Medium("black-friday", "document", "Black Friday : la sélection", 5, 55, pages=12),
    Medium("film-nuit-doree", "video", "Nuit dorée, le film", 38, 16, seconds=75),
    Medium("film-atelier", "video", "In the Glassblower’s Workshop", 130, 9, seconds=240),
    Medium("film-pose-applique", "video", "Poser une applique en 5 minutes", 290, 8, seconds=300),
    Medium("film-designers", "video", "Conversation avec nos designers", 70, 6, seconds=420),
    Medium("film-noel", "video", "Un Noël de lumière", 14, 18, seconds=45),
    Medium("visite-virtuelle", "video", "Showroom, Rue du Bac: A Virtual Tour", 100, 9, seconds=180),
    Medium("affiche-automne", "image", "Affiche Automne", 62, 7),
    Medium("affiche-noel", "image", "Affiche de Noël", 15, 9),
    Medium("nuancier-abat-jour", "image", "Nuancier des abat-jour", 220, 8),
    Medium("schema-eclairage", "image", "How High to Hang a Pendant", 190, 11),
    Medium("portrait-fondatrice", "image", "Portrait de la fondatrice", 170, 2),
    Medium("moodboard-ambre", "image", "Moodboard « Ambre »", 33, 8),
    Medium("boutique-en-ligne", "link", "Boutique en ligne", 500, 12),
    Medium("trouver-un-magasin", "link", "Trouver un magasin", 500, 8),
    Medium("rendez-vous-conseil", "link", "Prendre rendez-vous avec un conseiller", 160, 5),
    Medium("newsletter", "link", "Recevoir la newsletter", 500, 3),
    Medium("join-the-team", "link", "Join the Team", 45, 2),
)

PRODUCTS = (
    "suspension-orbe", "lampadaire-arc", "applique-feuille", "lampe-champignon", "lustre-cascade", "veilleuse-lune",
    "bougeoir-laiton", "abat-jour-lin", "guirlande-perles", "lampe-nomade", "plafonnier-nuage", "spot-cuivre",
)  # fmt: skip

SEARCHES = (
    "suspension", "lampadaire", "lampe de chevet", "applique salle de bain", "guirlande", "laiton", "verre soufflé",
    "pendant light", "floor lamp", "led dimmable", "abat-jour lin", "prix", "noël", "sans fil", "ampoule E27",
    "Tischlampe",
)  # fmt: skip

FEATURES = {
    "zoom": 40, "fullscreen": 25, "thumbnails": 16, "table-of-contents": 14, "text-search": 8, "wishlist": 7,
    "language-switch": 4, "bookmark": 3, "dark-mode": 2, "annotations": 1,
}  # fmt: skip
