"""What is learnt from every hub."""

from insights.journeys.lesson import JOURNEYS
from insights.lesson import Lesson
from insights.recommendations.model import RECOMMENDATIONS

LESSONS: tuple[Lesson, ...] = (RECOMMENDATIONS, JOURNEYS)
