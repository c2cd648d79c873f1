"""What is learnt from every hub."""

from insights.journeys.lesson import JOURNEYS
from insights.lesson import Lesson

LESSONS: tuple[Lesson, ...] = (JOURNEYS,)
