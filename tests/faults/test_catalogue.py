"""The list of faults itself: each has a name of its own, and needs a part that some profile has."""

from tests.faults.catalogue import CATALOGUE, chosen
from tests.faults.points import OF_LOG, OF_QUEUE, OF_VIEWS, POINTS
from tests.faults.profile import ANY_SERVER, SERVERS, Profile

EMBEDDED = Profile("embedded").parts
ALL_SERVERS = {place.name for place in SERVERS} | {ANY_SERVER}


def test_names_are_of_one_fault_each() -> None:
    names = [fault.name for fault in CATALOGUE]
    assert len(names) == len(set(names))


def test_each_fault_can_be_done_in_a_profile() -> None:
    assert {fault.needs for fault in CATALOGUE} <= {"", *EMBEDDED, *ALL_SERVERS}


def test_what_needs_no_part_is_done_in_both_profiles() -> None:
    of_all = [fault for fault in CATALOGUE if not fault.needs]
    assert [fault for fault in chosen([], EMBEDDED) if fault in chosen([], ALL_SERVERS)] == of_all


def test_each_point_that_is_armed_is_in_production() -> None:
    points = {**POINTS, **OF_QUEUE}.keys() | {
        point for of in (OF_LOG, OF_VIEWS) for some in of.values() for point in some
    }
    armed = {words["point"] for fault in CATALOGUE if (words := getattr(fault.do, "keywords", {})) and "point" in words}
    assert armed <= points
