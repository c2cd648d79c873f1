"""The panels: which key numbers and which tables each shows. A new one is one more entry here."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a panel: one row for each value of the dimension `by`, a column for each measure.

    `heading` is what its rows are called, where that is not the name of the dimension.
    `where` are filters of its own; `order` is the API's; `needs` names a filter without which it says `hint` instead
    of asking; `hides_absent` leaves the row of events without a value out; `width` is full, wide, half or a third.
    `has_facts`: of media, pages and completion too. `across` makes it a heat map of its one measure: the dimension of
    its columns. `of_visits` names what it tells of whole visits instead (`views.OF_VISITS`); `refuses` are
    filters with which it says `hint`.
    """

    name: str
    title: str | Promise
    by: str
    measures: tuple[str, ...]
    heading: str | Promise = ""
    where: tuple[tuple[str, str], ...] = ()
    order: str = ""
    needs: str = ""
    hint: str | Promise = ""
    width: str = ""
    is_first: bool = False
    hides_absent: bool = False
    has_facts: bool = False
    across: str = ""
    of_visits: str = ""
    refuses: tuple[str, ...] = ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        return (self.by, self.across) if self.across else (self.by,)

    @property
    def default_order(self) -> str:
        return self.order or f"-{self.measures[0]}"


@dataclass(frozen=True, slots=True)
class Panel:
    """A tab of a hub; or a page of the one value of the dimension `of`, which its heading names.

    `is_learnt`: its numbers are no rollups but of the raw events, of a period, with or without robots, and not compared.
    """

    name: str
    title: str | Promise
    figures: tuple[str, ...]
    tables: tuple[Table, ...]
    of: str = ""
    is_learnt: bool = False

    def table(self, name: str) -> Table | None:
        return next((table for table in self.tables if table.name == name), None)


_VISITS = ("visits", "visitors")
_PASSED_ON = tuple(("action", action) for action in ("share", "download", "print", "click"))

CONSULTATION = Panel(
    name="consultation",
    title=_("Consultation"),
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
            _("Media"),
            "media",
            ("views", "visits", "visitors", "duration_ms"),
            order="-visits",
            width="full",
            is_first=True,
            has_facts=True,
        ),
        Table("sources", _("Sources"), "source", _VISITS, is_first=True),
        Table("countries", _("Countries"), "country", _VISITS),
        Table("visit-numbers", _("How often they come back"), "visit_number", _VISITS, order="visit_number"),
        Table("lengths", _("How long visits last"), "duration", ("visits",), of_visits="lengths"),
        Table(
            "pages",
            _("Pages"),
            "page",
            ("page_reads", "duration_ms"),
            needs="media",
            hint=_("Choose a media to see how each of its pages is read."),
            hides_absent=True,
            order="page",
        ),
        Table("intermediaries", _("Intermediaries"), "intermediary", _VISITS),
        Table("languages", _("Languages"), "language", _VISITS),
        Table("browsers", _("Browsers"), "browser", _VISITS),
        Table("devices", _("Devices"), "device", _VISITS),
        Table("systems", _("Systems"), "os", _VISITS, width="half"),
        Table("weekdays", _("Weekdays"), "weekday", _VISITS, order="weekday", width="half"),
        Table(
            "hours",
            _("Weekdays and hours"),
            "weekday",
            ("visits",),
            order="weekday,hour_of_day",
            across="hour_of_day",
            width="full",
        ),
    ),
)

ENGAGEMENT = Panel(
    name="engagement",
    title=_("Engagement"),
    figures=("shares", "downloads", "prints", "clicks", "searches", "plays"),
    tables=(
        Table(
            "media",
            _("Media"),
            "media",
            ("shares", "downloads", "prints", "clicks"),
            where=_PASSED_ON,
            width="wide",
            is_first=True,
        ),
        Table(
            "networks",
            _("Shares by network"),
            "network",
            ("shares", "visitors"),
            where=(("action", "share"),),
            is_first=True,
        ),
        Table(
            "way",
            _("From opened to acted"),
            "step",
            ("visits",),
            of_visits="way",
            refuses=("action", "network", "page", "target", "previous"),
            hint=_("This is about all that visits do: not to be told with a filter on what single events say."),
        ),
        Table(
            "clicks", _("What they click"), "target", ("clicks", "visitors"), where=(("action", "click"),), width="wide"
        ),
        Table(
            "searches",
            _("What they search for"),
            "target",
            ("searches", "visitors"),
            where=(("action", "search"),),
            heading=_("Words"),
            width="half",
        ),
        Table("actions", _("Everything they do"), "action", ("events", "visitors"), width="half"),
        Table("shared-links", _("Arrivals by shared link"), "via", _VISITS, hides_absent=True, width="half"),
        Table("sources", _("Engaged visits by source"), "source", ("engaged_visits", "visits"), width="half"),
    ),
)

PANELS = (CONSULTATION, ENGAGEMENT)

DISSEMINATION = Panel("dissemination", _("Dissemination"), ("shares",), (), is_learnt=True)
RETRIBUTION = Panel("retribution", _("Retribution"), ("visits",), (), is_learnt=True)
RECOMMENDATIONS = Panel("recommendations", _("Recommendations"), ("clicks",), (), is_learnt=True)
TABS = (*PANELS, DISSEMINATION, RETRIBUTION, RECOMMENDATIONS)

MEDIA = Panel(
    name="media",
    title=_("Media"),
    figures=("visits", "visitors", "views", "duration_ms", "avg_visit_duration_ms", "shares", "downloads", "clicks"),
    tables=(
        Table("sources", _("Sources"), "source", _VISITS),
        Table("countries", _("Countries"), "country", _VISITS),
        Table("networks", _("Shares by network"), "network", ("shares", "visitors"), where=(("action", "share"),)),
        Table(
            "clicks", _("What they click"), "target", ("clicks", "visitors"), where=(("action", "click"),), width="half"
        ),
        Table("shared-links", _("Arrivals by shared link"), "via", _VISITS, hides_absent=True, width="half"),
    ),
    of="media",
)
"""No tab: the page of one media, which its row in a table leads to."""

RESTATEMENTS = Panel("restatements", _("Restatements"), ("events",), ())
"""No tab: the page that a line of the others leads to."""

LINKS = Panel("links", _("Share links"), ("events",), ())
"""No tab either: where pages are shared from."""

REPORTS = Panel("reports", _("Reports and alerts"), ("events",), ())
"""Nor this: who gets mails about the hub."""

NOTES = Panel("notes", _("Notes"), ("events",), ())
"""Nor this: what happened in the life of the hub."""
