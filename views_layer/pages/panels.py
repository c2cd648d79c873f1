"""The panels: which key numbers and which tables each shows. A new one is one more entry here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a panel: one row for each value of the dimension `by`, a column for each measure.

    `where` are filters of its own; `order` is the API's; `needs` names a filter without which it says `hint` instead
    of asking; `hides_absent` leaves the row of events without a value out; `width` is wide, half or a third.
    """

    name: str
    title: str
    by: str
    measures: tuple[str, ...]
    where: tuple[tuple[str, str], ...] = ()
    order: str = ""
    needs: str = ""
    hint: str = ""
    width: str = ""
    is_first: bool = False
    hides_absent: bool = False

    @property
    def default_order(self) -> str:
        return self.order or f"-{self.measures[0]}"


@dataclass(frozen=True, slots=True)
class Panel:
    """A tab of a hub."""

    name: str
    title: str
    figures: tuple[str, ...]
    tables: tuple[Table, ...]

    def table(self, name: str) -> Table | None:
        return next((table for table in self.tables if table.name == name), None)


_VISITS = ("visits", "visitors")
_PASSED_ON = tuple(("action", action) for action in ("share", "download", "print", "click"))

CONSULTATION = Panel(
    name="consultation",
    title="Consultation",
    figures=(
        "visits",
        "visitors",
        "views",
        "page_reads",
        "avg_visit_duration_ms",
        "bounce_rate",
        "new_visitors",
        "returning_visitors",
    ),
    tables=(
        Table(
            "media",
            "Media",
            "media",
            ("views", "visits", "visitors", "duration_ms"),
            order="-visits",
            width="wide",
            is_first=True,
        ),
        Table("sources", "Sources", "source", _VISITS, is_first=True),
        Table("countries", "Countries", "country", _VISITS),
        Table("visit-numbers", "How often they come back", "visit_number", _VISITS, order="visit_number"),
        Table(
            "pages",
            "Pages",
            "page",
            ("page_reads", "duration_ms"),
            needs="media",
            hint="Choose a media to see how each of its pages is read.",
            hides_absent=True,
            order="page",
        ),
        Table("intermediaries", "Intermediaries", "intermediary", _VISITS),
        Table("languages", "Languages", "language", _VISITS),
        Table("browsers", "Browsers", "browser", _VISITS),
        Table("devices", "Devices", "device", _VISITS),
        Table("systems", "Systems", "os", _VISITS),
        Table("weekdays", "Weekdays", "weekday", _VISITS, order="weekday"),
    ),
)

ENGAGEMENT = Panel(
    name="engagement",
    title="Engagement",
    figures=("shares", "downloads", "prints", "clicks", "searches", "plays"),
    tables=(
        Table(
            "media",
            "Media",
            "media",
            ("shares", "downloads", "prints", "clicks"),
            where=_PASSED_ON,
            width="wide",
            is_first=True,
        ),
        Table(
            "networks",
            "Shares by network",
            "network",
            ("shares", "visitors"),
            where=(("action", "share"),),
            is_first=True,
        ),
        Table(
            "clicks", "What they click", "target", ("clicks", "visitors"), where=(("action", "click"),), width="half"
        ),
        Table(
            "searches",
            "What they search for",
            "target",
            ("searches", "visitors"),
            where=(("action", "search"),),
            width="half",
        ),
        Table("shared-links", "Arrivals by shared link", "via", _VISITS, hides_absent=True),
        Table("sources", "Engaged visits by source", "source", ("engaged_visits", "visits")),
        Table("actions", "Everything they do", "action", ("events", "visitors")),
    ),
)

PANELS = (CONSULTATION, ENGAGEMENT)

RESTATEMENTS = Panel("restatements", "Restatements", ("events",), ())
"""No tab: the page that a line of the others leads to."""
