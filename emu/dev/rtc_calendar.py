"""Calendar arithmetic and the MC146818's number formats: BCD or binary, 12 or 24 hours, alarm "don't care" codes."""

from __future__ import annotations

from dataclasses import dataclass

DAY = 86_400
PM = 0x80
DONT_CARE = 0xC0  # an alarm byte with both top bits set matches every value (datasheet, "Time, Calendar, and Alarm")


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar. Values out of range carry over, as counters would."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    if month <= 2:
        year, month = year - 1, month + 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719_469


def civil_from_days(days: int) -> tuple[int, int, int]:
    """(year, month, day) of a day counted from 1970-01-01."""
    # Years that start in March put the leap day last; 146097 days make 400 years.
    era, day_of_era = divmod(days + 719_468, 146_097)
    year = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return era * 400 + year + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


@dataclass(frozen=True)
class Calendar:
    """Register format: register B's DM and 24/12 bits."""

    binary: bool
    hours_24: bool

    def encode(self, value: int) -> int:
        return (value if self.binary else value // 10 << 4 | value % 10) & 0xFF

    def decode(self, raw: int) -> int:
        return raw if self.binary else (raw >> 4) * 10 + (raw & 15)

    def encode_hour(self, hour: int) -> int:
        if self.hours_24:
            return self.encode(hour)
        return self.encode((hour + 11) % 12 + 1) | (PM if hour >= 12 else 0)

    def decode_hour(self, raw: int) -> int:
        if self.hours_24:
            return self.decode(raw)
        return self.decode(raw & ~PM) % 12 + (12 if raw & PM else 0)


def next_alarm(after: int, hour: int, minute: int, second: int, form: Calendar) -> int | None:
    """First time in seconds later than `after` that the raw alarm registers match; None if they match none."""

    def matching(raw: int, values: int, decoded: int) -> list[int]:
        if raw & DONT_CARE == DONT_CARE:
            return list(range(values))
        return [decoded] if decoded < values else []

    hours = matching(hour, 24, form.decode_hour(hour))
    minutes = matching(minute, 60, form.decode(minute))
    seconds = matching(second, 60, form.decode(second))
    if not (hours and minutes and seconds):
        return None
    midnight = after // DAY * DAY
    for day_start in (midnight, midnight + DAY):
        for h in hours:
            if day_start + h * 3600 + 3599 <= after:
                continue
            for m in minutes:
                start = day_start + h * 3600 + m * 60
                if start + 59 <= after:
                    continue
                for s in seconds:
                    if start + s > after:
                        return start + s
    return None
