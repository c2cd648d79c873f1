"""The trust line: how far the numbers of a page can be relied upon, in words."""

import zoneinfo
from dataclasses import dataclass
from datetime import datetime

from views_layer.pages.wording import instant, time_of_day


@dataclass(frozen=True, slots=True)
class TrustLine:
    """`tone` is calm or warning; `sentences` are shown in order, `warnings` after them."""

    tone: str
    verdict: str
    sentences: list[str]
    warnings: list[str]


def trust_line(meta: dict, now: datetime, zone: zoneinfo.ZoneInfo) -> TrustLine:
    """The trust line of an answer's `meta`."""
    warnings = [
        str(warning.get("detail", warning)) if isinstance(warning, dict) else str(warning)
        for warning in meta.get("warnings", [])
    ]
    exact = bool(meta.get("exact"))
    batch_until = meta.get("batch_until") and time_of_day(instant(meta["batch_until"]), now, zone)
    as_of = meta.get("as_of") and time_of_day(instant(meta["as_of"]), now, zone, with_seconds=True)
    where = f"Batch until {batch_until}" if batch_until else "Not yet computed by batch"
    if as_of:
        where += f", live until {as_of}"
    sentences = [f"{where} ({zone.key})."]
    if meta.get("provisional"):
        sentences.append(
            f"Figures since {batch_until} are provisional." if batch_until else "All figures are provisional."
        )
    else:
        sentences.append("All figures of this period are settled.")
    if meta.get("source") == "raw":
        sentences.append("Computed from the raw events.")
    tone = "calm" if exact and not warnings else "warning"
    return TrustLine(tone, "Exact." if exact else "Not exact.", sentences, warnings)
