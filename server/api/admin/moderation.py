"""/v1/organization/moderation"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from server.api.admin.administration import Administration
from server.api.admin.bodies import Body
from server.api.admin.route import Endpoint
from server.api.listing import Json
from server.api.turns import MOST_CHARACTERS, Turns
from server.config import Name
from server.errors import NotFound
from server.moderation.described import described, found_by
from server.moderation.explain import Explanation, explaining
from server.moderation.jury import ask, asked
from server.moderation.policies import prepare
from server.moderation.policy import Channel, Direction
from server.moderation.ruleset import Ruleset


class ToExplain(Body):
    text: str = Field(max_length=MOST_CHARACTERS)
    policy: Name | None = Field(default=None, description="Null: the one of the configuration.")
    direction: Direction = "input"
    channel: Channel = "content"
    judges: bool = Field(default=False, description="Ask the policy's judges too, about what its rules let through.")


class Moderation:
    def __init__(self, administration: Administration) -> None:
        self._admin = administration
        self._turns = Turns()

    def endpoints(self) -> Iterator[Endpoint]:
        yield Endpoint("POST", "/moderation/explain", self.explain, "What a policy makes of a text, and why")

    async def explain(self, body: ToExplain) -> Json:
        ruleset = self._ruleset(body.policy)
        await prepare([ruleset])
        steps = explaining(ruleset, (body.text,), body.direction, body.channel)
        explanation = await self._turns.take(steps, len(body.text))
        told = {"object": "organization.moderation.explanation"} | described(explanation, ruleset)
        if body.judges:
            told |= {"not_asked": [], "judges": await _judged(ruleset, explanation)}
        return told

    def _ruleset(self, name: str | None) -> Ruleset:
        """Raises `NotFound`."""
        loaded = self._admin.policies()
        found = loaded.mandatory if name is None else loaded.rulesets.get(name)
        if found is None:
            which = "The configuration names no moderation.policy" if name is None else "No policy has that name"
            raise NotFound(f"{which}. Policies: {', '.join(loaded.rulesets) or 'none'}.", param="policy")
        return found


async def _judged(ruleset: Ruleset, explanation: Explanation) -> list[Json]:
    """What each judge says that a call with this text would ask; none of what rules refuse."""
    if explanation.leaves is None:
        return []
    seats = asked(ruleset.seats, explanation.direction, suspicious=bool(explanation.matches))
    text = "".join(explanation.leaves)
    findings = await ask(seats, explanation.direction, text, judged=lambda judge, seconds: None)
    return [found_by(seat, findings) for seat in seats]
