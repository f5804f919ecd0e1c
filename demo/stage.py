"""What the story is told with: people who type, checks that count, and a terminal or a pipe to write to."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from demo.witness import Place, content, watching
from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError
from tools.controlplane import PERSON, Completed, ControlPlane, Identity
from tools.guardrun import GuardProcess, Repository

NOT_FOUND = 404
HEAL_SECONDS = 20.0
# The sightings' times are taken when events come in, so how often they are asked for costs no accuracy.
ASK_SECONDS = 0.01

BREAK_GLASS = (
    *("--as", PERSON),
    *("--as-group", "system:authenticated"),
    *("--as-group", "platform"),
    *("--as-group", "gitopsguard:break-glass"),
)


class Heal(msgspec.Struct, frozen=True):
    what: str
    seconds: float


class Stage:
    """`passed` and `failed` count the checks; `refusals` are what the person was told, `heals` how long drift lasted."""

    def __init__(
        self, *, plane: ControlPlane, guard: GuardProcess, repository: Repository, console: Console, scratch: Path
    ) -> None:
        self.plane = plane
        self.guard = guard
        self.repository = repository
        self.passed = 0
        self.failed = 0
        self.refusals: list[str] = []
        self.heals: list[Heal] = []
        self._console = console
        # kubectl edit leaves its file behind when it is refused.
        self._scratch = scratch

    # ---- telling

    def act(self, title: str) -> None:
        self._console.print()
        self._console.print(Text(title, style="bold cyan"))

    def say(self, text: str) -> None:
        self._console.print(Text(text))

    def typed(self, command: str) -> None:
        self._console.print(Text.assemble(("  $ ", "dim"), (command, "bold")))

    def output(self, text: str) -> None:
        for line in text.rstrip().splitlines():
            self._console.print(Text(f"    {line}", style="dim"))

    def check(self, text: str, *, holds: bool) -> None:
        if holds:
            self.passed += 1
            self._console.print(Text.assemble(("  ✓ ", "bold green"), text))
        else:
            self.failed += 1
            self._console.print(Text.assemble(("  ✗ ", "bold red"), (text, "red")))

    # ---- asking the API server

    async def get(self, place: Place) -> JsonObject | None:
        try:
            found: JsonObject = await self.plane.call("GET", place.path)
        except ApiStatusError as error:
            if error.code == NOT_FOUND:
                return None
            raise
        return found

    async def there(self, place: Place) -> JsonObject:
        found = await self.get(place)
        if found is None:
            raise AssertionError(f"{place.path} is not there")
        return found

    # ---- typing

    async def person(self, *arguments: str, sed: str = "") -> Completed:
        """What Ada types; with `sed`, her editor is that script."""
        return await self._kubectl(arguments, shown=arguments, identity="person", sed=sed)

    async def past_the_webhook(self, *arguments: str, sed: str = "") -> Completed:
        """The same, in the group that the webhook's matchConditions let pass."""
        return await self._kubectl((*arguments, *BREAK_GLASS), shown=arguments, identity="admin", sed=sed)

    async def _kubectl(self, arguments: tuple[str, ...], *, shown: tuple[str, ...], identity: Identity, sed: str) -> Completed:
        environment: Mapping[str, str] = {"TMPDIR": str(self._scratch)}
        command = shlex.join(["kubectl", *shown])
        if sed:
            environment = {**environment, "KUBE_EDITOR": f"sed -i {sed}"}
            command = f'KUBE_EDITOR="sed -i {sed}" {command}'
        self.typed(command if identity == "person" else f"{command} $past")
        done = await self.plane.kubectl(*arguments, identity=identity, check=False, environment=environment)
        self.output(done.stdout + done.stderr)
        return done

    async def guard_says(self, *arguments: str) -> Completed:
        self.typed(shlex.join(["guard", *arguments]))
        done = await self.guard.guard(*arguments)
        self.output(done.stdout + done.stderr)
        return done

    # ---- the two things that Guard is for

    async def refused(self, place: Place, *arguments: str, sed: str = "") -> str:
        """Ada tries; the object is as it was. Returns what she was told."""
        before = await self.there(place)
        done = await self.person(*arguments, sed=sed)
        after = await self.get(place)
        version, now = (body["metadata"]["resourceVersion"] if body else "gone" for body in (before, after))
        self.check(
            f"refused (exit code {done.returncode}); resourceVersion was {version} and is {now}",
            holds=done.returncode != 0 and now == version,
        )
        self.refusals.append(done.stderr)
        return done.stderr

    async def healed(self, what: str, place: Place, *arguments: str, sed: str = "") -> None:
        """The API server takes the change, and soon holds Git's value again."""
        git = content(await self.there(place))
        async with watching(self.plane, place) as seen:
            done = await self.past_the_webhook(*arguments, sed=sed)
            self.check("accepted by the API server", holds=done.returncode == 0)
            await self.within(HEAL_SECONDS, lambda: seen.healed_after(git) is not None)
            took = seen.healed_after(git)
        self.check("the API server's watch showed the change", holds=seen.left(git))
        if took is None:
            self.check(f"as Git says again within {HEAL_SECONDS:.0f} s", holds=False)
            return
        live = await self.get(place)
        self.check(f"as Git says again {took * 1000:.0f} ms later", holds=live is not None and content(live) == git)
        self.heals.append(Heal(what=what, seconds=took))

    async def within(self, seconds: float, condition: Callable[[], object]) -> float | None:
        """How long an (async) condition took to hold; None when it did not."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return loop.time() - start
            if loop.time() - start > seconds:
                return None
            await asyncio.sleep(ASK_SECONDS)
