"""Which door's turn it is: canaries first, some at once, and none after a canary that failed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from maskwatch.flash.fleet import Target
from maskwatch.flash.line import Stopper
from maskwatch.flash.result import Outcome, Result

BROKEN_OFF = "broken off"

LOOK_S = 0.5
"""How often who waits for a turn looks whether all is broken off."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many doors at once: of all together, and of single groups."""

    parallel: int
    groups: Mapping[str, int]


class Rollout:
    """One roll-out, to be run once.

    `flash` does one door, in a thread of its own, and raises nothing of ours; `ended` is told of each result, by that
    thread. Once the stopper has stopped no more doors are begun.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        flash: Callable[[Target], Result],
        limits: Limits,
        ended: Callable[[Result], object],
        stopper: Stopper,
    ) -> None:
        self._targets = list(targets)
        self._flash = flash
        self._limits = limits
        self._ended = ended
        self._stopper = stopper
        self._turn = threading.Condition()
        self._pending: list[Target] = []
        self._busy: Counter[str] = Counter()
        self._results: dict[str, Result] = {}

    def run(self) -> list[Result]:
        """Flash them all, as far as it goes; a result for each, in the order of the targets."""
        canaries = [target for target in self._targets if target.canary]
        self._run(canaries)
        failed = [target.host for target in canaries if not self._is_good(target)]
        why = BROKEN_OFF
        if failed and not self._stopper.event.is_set():
            why = f"the roll-out stopped, as a canary failed: {', '.join(failed)}"
        else:
            self._run([target for target in self._targets if not target.canary])
        left = {
            target.host: Result(target.host, Outcome.NOT_BEGUN, why)
            for target in self._targets
            if target.host not in self._results
        }
        return [self._results.get(target.host) or left[target.host] for target in self._targets]

    def _run(self, targets: Sequence[Target]) -> None:
        """Flash these, until the stopper breaks them off."""
        if not targets:
            return
        self._pending = list(targets)
        count = min(self._limits.parallel, len(targets))
        with ThreadPoolExecutor(count, thread_name_prefix="flash") as pool:
            futures = [pool.submit(self._work) for _ in range(count)]
        for future in futures:
            future.result()

    def _work(self) -> None:
        while (target := self._take()) is not None:
            try:
                result = self._flash(target)
                with self._turn:
                    self._results[target.host] = result
                self._ended(result)
            finally:
                with self._turn:
                    self._busy[target.group] -= 1
                    self._turn.notify_all()

    def _take(self) -> Target | None:
        """The next door whose group has room; None at the end."""
        with self._turn:
            while self._pending and not self._stopper.event.is_set():
                for target in self._pending:
                    if self._busy[target.group] < self._limits.groups.get(target.group, self._limits.parallel):
                        self._pending.remove(target)
                        self._busy[target.group] += 1
                        return target
                self._turn.wait(LOOK_S)
            return None

    def _is_good(self, target: Target) -> bool:
        result = self._results.get(target.host)
        return result is not None and result.outcome.good
