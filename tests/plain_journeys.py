"""A second opinion on journeys, as simple as can be: lists and dictionaries, one visit after the other."""

from collections import Counter, defaultdict
from typing import Any

MINUTES_30 = 30 * 60_000


def walks(events: list[dict[str, Any]], now: int) -> dict[Any, list[str]]:
    """The steps of each visit; a visit that has ended, ends with exit."""
    visits = defaultdict(list)
    for event in sorted(events, key=lambda event: (event["at"], event["id"])):
        visits[event["visit"]].append(event)
    return {visit: walk(own, now) for visit, own in visits.items()}


def walk(events: list[dict[str, Any]], now: int) -> list[str]:
    steps: list[str] = []
    for event in events:
        step = step_of(event)
        if steps[-1:] != [step]:
            steps.append(step)
    return [*steps, "exit"] if now - events[-1]["at"] >= MINUTES_30 else steps


def step_of(event: dict[str, Any]) -> str:
    if event["action"] == "view" and event.get("media"):
        return "media:" + event["media"]
    if event["action"] == "feature" and event.get("target"):
        return "feature:" + event["target"]
    return event["action"]


def plain(events: list[dict[str, Any]], after: list[str], now: int) -> list[dict[str, Any]]:
    """What followed `after`."""
    times: Counter[str] = Counter()
    visits = defaultdict(set)
    for visit, steps in walks(events, now).items():
        for place in range(len(after), len(steps)):
            if steps[place - len(after) : place] == after:
                times[steps[place]] += 1
                visits[steps[place]].add(visit)
    ordered = sorted(times, key=lambda step: (-times[step], step))
    return [
        {"step": step, "probability": times[step] / sum(times.values()), "visits": len(visits[step])}
        for step in ordered
    ]
