"""Mails about hubs: reports of weeks and months, alerts of hours and days unlike others, and whether they are wanted."""
