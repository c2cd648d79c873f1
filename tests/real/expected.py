"""What the parts of the real data hold: figures that their publishers state, or that were counted from the files alone.

They hold for the log, and for every answer that is asked for all time with `robots=include`.
"""

from typing import Any

EXPECTED: dict[str, dict[str, Any]] = {
    "deskdrop": {
        "sent": 72_312,
        "events": 72_301,  # 11 rows are exact duplicates
        "visitors": 1_895,
        "visits": 28_740,  # no session is shared by two persons
        "media": 2_987,
        # Published: 61,086 views; all 11 duplicates are views.
        "actions": {"view": 61_075, "like": 5_745, "bookmark": 2_463, "comment": 1_611, "follow": 1_407},
    },
    "bitly": {"sent": 3_440, "events": 3_440, "actions": {"click": 3_440}, "without_country": 521},
    "apache": {"sent": 9_999, "events": 9_999, "actions": {"view": 9_999}, "status_200": 9_125},
    "higgs": {
        "sent": 563_069,
        "events": 563_069,
        "actions": {"share": 563_069},
        "networks": {"rt": 354_930, "mt": 171_237, "re": 36_902},
        "hours": 168,
    },
}
