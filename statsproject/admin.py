"""People, groups, failed logins and schedules in the look of the rest of the admin."""

from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from events.admin import ReadOnly
from events.models import Membership
from statsproject.models import Alert, Telling

for model in (User, Group, PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(model)


class HubInline(TabularInline):
    model = Membership
    extra = 0
    tab = True
    autocomplete_fields = ["hub"]
    verbose_name = "hub"
    verbose_name_plural = "hubs"


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    inlines = [HubInline]


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    pass


@admin.register(AccessAttempt)
class AccessAttemptAdmin(ReadOnly, ModelAdmin):
    """Failed logins of the last quarter of an hour. To delete those of a user unlocks that user's login."""

    list_display = ["attempt_time", "username", "failures_since_start", "path_info", "user_agent"]
    search_fields = ["username"]
    fields = list_display

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("axes.delete_accessattempt")


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """The registered tasks, in unfold's select."""


class PeriodicTaskForm(beat.PeriodicTaskForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(beat.PeriodicTaskAdmin, ModelAdmin):
    form = PeriodicTaskForm

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """They pause ticks and run tasks, and ask for no permission by themselves: none for those who only read."""
        return super().get_actions(request) if self.has_change_permission(request) else {}


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(beat.CrontabScheduleAdmin, ModelAdmin):
    pass


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(beat.IntervalScheduleAdmin, ModelAdmin):
    pass


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(beat.ClockedScheduleAdmin, ModelAdmin):
    pass


@admin.register(SolarSchedule)
class SolarScheduleAdmin(beat.SolarScheduleAdmin, ModelAdmin):
    pass


class TellingInline(ReadOnly, TabularInline):
    model = Telling
    extra = 0


@admin.register(Alert)
class AlertAdmin(ReadOnly, ModelAdmin):
    list_display = ["name", "severity", "since", "cleared_at", "sentence"]
    list_filter = ["name", "severity", ("cleared_at", admin.EmptyFieldListFilter)]
    inlines = [TellingInline]
