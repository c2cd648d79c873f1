"""What is learnt from every hub."""

from insights.lesson import Lesson

LESSONS: tuple[Lesson, ...] = ()
