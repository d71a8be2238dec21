"""The state machine of hypothesis: what happens to a dataset, and what must always hold."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from adsfetch import Retry, UsageError
from adsfetch.dataset_run import Settings
from adsfetch.plan import WantedRange, between, daily
from adsfetch.run import Run
from adsfetch.storage.aggregate import write_aggregate
from adsfetch.storage.states import State
from adsfetch.storage.store import Store
from stress.days.folder import BASE, UNIVERSE, Folder
from stress.days.kills import Killed, killed_after
from stress.days.source import HEADER, TROUBLES, TroubledSource

LOOKBACK = 3
HELD = (State.FINAL, State.EMPTY, State.PROVISIONAL)
starts = st.integers(-10, 12)
lengths = st.integers(1, 12)
troubles = st.dictionaries(st.integers(-10, 24), st.sampled_from(TROUBLES), max_size=6)
kills = st.none() | st.integers(0, 40)
which = st.integers(0, 1000)


class DatasetMachine(RuleBasedStateMachine):
    """``now`` is the true date; the clock of the host is ``skew`` days ahead of it.

    ``delivered`` maps each content that may be believed for a day to the latest date at which it
    can have been fetched. ``told`` are the days that a source said to be unavailable.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Folder(Path(tempfile.mkdtemp(prefix="adsfetch-days-")) / "days")
        self.now, self.skew, self.version = BASE, 0, 0
        self.delivered: dict[date, dict[bytes, date]] = {}
        self.told: set[date] = set()

    def teardown(self) -> None:
        self.folder.remove()

    @property
    def today(self) -> date:
        return self.now + timedelta(self.skew)

    # What happens

    @initialize()
    def fetch_first_days(self) -> None:
        self.run_command(between(str(BASE - timedelta(5)), str(BASE)), {}, None)

    @rule(start=starts, length=lengths, troubles=troubles, kill=kills)
    def fetch(self, start: int, length: int, troubles: dict[int, str], kill: int | None) -> None:
        first = self.now + timedelta(start)
        wanted = between(str(first), str(first + timedelta(length - 1)))
        self.run_command(wanted, self.on_days(troubles), kill)

    @rule(troubles=troubles, kill=kills)
    def update(self, troubles: dict[int, str], kill: int | None) -> None:
        self.run_command(daily(), self.on_days(troubles), kill)

    @rule()
    def update_without_trouble(self) -> None:
        """Check that the next run repairs what can be repaired."""
        self.set_clock(0)
        first = self.run_command(daily(), {}, None)
        if first is None:  # all days were fetched by a clock ahead: they are still to come
            return
        for day, state in self.states().items():
            if first <= day <= self.now:
                age = (self.now - day).days
                young = age < LOOKBACK and state is State.PROVISIONAL
                done = state in (State.FINAL, State.EMPTY) and (age >= LOOKBACK or day in self.told)
                gone = state is State.UNAVAILABLE and day in self.told
                assert young or done or gone, f"{day} is {state} after a run without trouble"

    @rule(days=st.integers(1, 5))
    def wait(self, days: int) -> None:
        if self.now < BASE + timedelta(40):
            self.now += timedelta(days)
        self.set_clock(self.skew)

    @rule(skew=st.sampled_from([-400, -12, -2, -1, 0, 1, 2, 12, 30]))
    def set_clock(self, skew: int) -> None:
        self.skew = skew
        self.folder.clock = self.today

    @rule(choice=which)
    def delete_day(self, choice: int) -> None:
        if day := self.pick(choice):
            self.folder.file(day).unlink()

    @rule(choice=which, length=which)
    def truncate_day(self, choice: int, length: int) -> None:
        if day := self.pick(choice):
            content = self.folder.contents()[day]
            self.folder.write(day, content[: length % (len(content) + 1)])

    @rule(choice=which)
    def edit_day(self, choice: int) -> None:
        if (day := self.pick(choice)) and self.folder.contents()[day] not in (HEADER, b""):
            content = self.folder.contents()[day]
            self.folder.write(
                day, content[:-2] + (b"7" if content[-2:-1] != b"7" else b"8") + b"\n"
            )

    @rule(choice=which, other=which)
    def copy_day(self, choice: int, other: int) -> None:
        if day := self.pick(choice):
            self.folder.write(UNIVERSE[other % 60], self.folder.contents()[day])

    @rule(choice=which, version=which)
    def restore_day(self, choice: int, version: int) -> None:
        known = sorted(day for day, contents in self.delivered.items() if contents)
        if known:
            day = known[choice % len(known)]
            contents = sorted(self.delivered[day])
            self.folder.write(day, contents[version % len(contents)])

    @rule(name=st.sampled_from(["manifest.jsonl", "dataset.json", "all.csv"]))
    def delete_file(self, name: str) -> None:
        self.folder.delete(name)

    @rule(lines=st.integers(0, 6))
    @precondition(lambda self: (self.folder.path / "manifest.jsonl").exists())
    def cut_manifest(self, lines: int) -> None:
        self.folder.cut_manifest(lines)

    @rule()
    def edit_aggregate(self) -> None:
        self.folder.path.joinpath("all.csv").write_bytes(b"mine\n")

    @rule(kill=kills)
    def aggregate(self, kill: int | None) -> None:
        with suppress(Killed), self.opened(kill) as store:
            write_aggregate(store)
            self.check_aggregate()

    @rule()
    def verify(self) -> None:
        with self.opened(None, thorough=True):
            pass

    @rule(start=starts, length=lengths, kill=kills)
    def forget(self, start: int, length: int, kill: int | None) -> None:
        first = self.now + timedelta(start)
        last = first + timedelta(length - 1)
        with suppress(Killed), self.opened(kill) as store:
            store.forget(first, last)
            write_aggregate(store)
            self.check_aggregate()
            days = {day for day in UNIVERSE if first <= day <= last}
            assert not days & (self.folder.contents().keys() | self.folder.checksums().keys())

    # What must hold

    @invariant()
    def the_days_that_are_shown_as_held_are_those_that_are_proved(self) -> None:
        self.learn()
        proved = {day: c for day, c in self.folder.proved().items() if day <= self.today}
        for day, state in self.states().items():
            assert (state in HELD) == (day in proved), f"{day} is {state}"
            if state in HELD:
                self.check_held(day, state, proved[day])
            if state is State.UNAVAILABLE:
                assert day in self.told, f"nobody said that {day} is unavailable"

    def check_held(self, day: date, state: State, content: bytes) -> None:
        known = self.delivered.get(day, {})
        assert content in known, f"{day} is {state} with rows that no source has delivered"
        if state is not State.PROVISIONAL:
            assert (state is State.EMPTY) == (content in (HEADER, b"")), f"{day} is {state}"
            age = (known[content] - day).days
            assert age >= LOOKBACK or day in self.told, (
                f"{day} is {state}, fetched {age} days later"
            )

    def check_aggregate(self) -> None:
        """``all.csv`` contains each proved day once, in the order of days."""
        proved = self.folder.proved()
        expected = b"".join(
            proved[day].removeprefix(HEADER) for day in sorted(proved) if day <= self.today
        )
        found = (self.folder.path / "all.csv").read_bytes()
        assert found.removeprefix(HEADER) == expected, "all.csv is not the proved days"

    # How it is done

    def run_command(
        self, wanted: WantedRange, trouble: Mapping[date, str], kill: int | None
    ) -> date | None:
        """Run a fetching command; return the first day of its range, None if it did not run."""
        self.version += 1
        source = TroubledSource(self.version, trouble)
        settings = Settings(
            workers=4, retry=Retry(attempts=1), lookback=LOOKBACK, today=self.today, lock_wait=0
        )
        try:
            with killed_after(kill, self.folder):
                run = Run([(source, self.folder.path)], settings)
                summary = run.execute(wanted, lambda _: None).whole
        except UsageError:  # a range in the future, or a clock before the first day
            return None
        except Killed:
            self.learn_from(source)
            return None
        self.learn_from(source)
        self.clock_was_read()
        assert summary.stopped is None, summary.stopped
        assert bool(summary.failed) == (summary.exit_code == 1)
        self.check_aggregate()
        return summary.first

    @contextmanager
    def opened(self, kill: int | None, *, thorough: bool = False) -> Iterator[Store]:
        """Load and reconcile the dataset, as the commands without a source do."""
        with killed_after(kill, self.folder):
            store = Store(self.folder.path).load(thorough=thorough)
            store.set_today(self.today).reconcile()
            self.clock_was_read()
            store.save_description(store.dataset)
            yield store

    def learn_from(self, source: TroubledSource) -> None:
        """Note what a source has delivered or said."""
        for day in source.calls:
            for content in source.delivered(day):
                self.delivered.setdefault(day, {})[content] = self.today
            if source.is_unavailable(day) and self.today > day:
                self.told.add(day)

    def learn(self) -> None:
        """Note the complete files that no checksum contradicts: they are believed."""
        checksums = self.folder.checksums()
        for day, content in self.folder.proved().items():
            if not checksums.get(day):
                self.delivered.setdefault(day, {})[content] = self.folder.changed_on(day)

    def clock_was_read(self) -> None:
        """Note that a command ran: nothing was fetched after its today."""
        for contents in self.delivered.values():
            for content, fetched_on in contents.items():
                contents[content] = min(fetched_on, self.today)

    def states(self) -> dict[date, State]:
        """Return the states as ``missing`` and ``status`` show them."""
        store = Store(self.folder.path).load().set_today(self.today)
        return {day: store.state(day, LOOKBACK) for day in UNIVERSE}

    def on_days(self, troubles: Mapping[int, str]) -> dict[date, str]:
        return {self.now + timedelta(number): trouble for number, trouble in troubles.items()}

    def pick(self, choice: int) -> date | None:
        """Choose one of the days that have a file."""
        days = sorted(self.folder.contents())
        return days[choice % len(days)] if days else None
