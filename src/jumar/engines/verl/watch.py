"""Notices that a process of the sampler died, while verl's trainer waits for its responses.

verl asks its queue again and again, and the queue does not know that nobody fills it any more.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from jumar.engines.verl.host import ray
from jumar.errors import EngineError


class Watch:
    """Actors of Ray, by what they are; a busy one may take its time, only a dead one is missed."""

    def __init__(self, actors: Mapping[str, Iterable[Any]]) -> None:
        pairs = [(what, actor) for what, several in actors.items() for actor in several]
        self.asked = {actor.__ray_ready__.remote(): (what, actor) for what, actor in pairs}

    def look(self) -> None:
        """Raise an EngineError where one is dead."""
        answers, _ = ray.wait([*self.asked], num_returns=len(self.asked), timeout=0)
        for answer in answers:
            what, actor = self.asked.pop(answer)
            try:
                ray.get(answer)
            except ray.exceptions.ActorUnavailableError:
                pass  # the network may come back: it is asked again
            except ray.exceptions.ActorDiedError as error:
                raise EngineError(
                    f"{what} died while the trainer waited for its responses: {error} They would "
                    "never come, and the run would never end. Look for the reason in its log, "
                    "under Ray's session_latest/logs (often the memory of the node), and start "
                    "again: verl goes on from its last checkpoint."
                ) from error
            self.asked[actor.__ray_ready__.remote()] = what, actor
