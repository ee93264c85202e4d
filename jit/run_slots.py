"""Slots of the runtime table: functions that the run loop calls by address because they compile on first use."""

DELIVER, STOP, STALE = 0, 1, 2
NAMES = {DELIVER: "deliver"}
