"""Which phase it is: quiet and hostile ones take turns, so that both are measured in the same minutes of the machine."""

import json
import time

# What the ends of a hostile phase take: it is neither quiet nor hostile.
SETTLE_SECONDS = 1.0


class Schedule:
    """Phases by the machine's monotonic clock, which all processes share."""

    def __init__(self, begin, cycles, quiet, hostile):
        self.begin, self.cycles, self.quiet, self.hostile = begin, cycles, quiet, hostile
        self.cycle = quiet + hostile + SETTLE_SECONDS
        self.end = begin + cycles * self.cycle + quiet

    @classmethod
    def of(cls, seconds):
        """About so many seconds, from a second from now on. Hostile phases are three times as long as quiet ones."""
        cycles = max(2, round(seconds / 90))
        quiet = max(2.0, (seconds - 1 - cycles * SETTLE_SECONDS) / (4 * cycles + 1))
        return cls(time.monotonic() + 1, cycles, quiet, 3 * quiet)

    @classmethod
    def parse(cls, text):
        """From `str()` of another."""
        return cls(*json.loads(text))

    def __str__(self):
        return json.dumps([self.begin, self.cycles, self.quiet, self.hostile])

    def phase(self, now):
        """`quiet`, `hostile` or `settling`."""
        at = (now - self.begin) % self.cycle
        if at < self.quiet:
            return "quiet"
        return "hostile" if at < self.quiet + self.hostile else "settling"

    def hostile_phases(self):
        """Begin and end of each."""
        first = self.begin + self.quiet
        return [(first + number * self.cycle, first + number * self.cycle + self.hostile) for number in range(self.cycles)]
