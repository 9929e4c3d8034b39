"""Which runs of a study can begin, which are under way, and which never will."""

import heapq
from collections import defaultdict
from collections.abc import Sequence


class Work:
    """The runs that are not done, by their places in the order of the study.

    A run that is matched with another waits for its donor, and for nothing else.

    Args:
      donors: of each run, the place of the one that it is matched with, if any.

    Attributes:
      left: the runs that are neither done nor left out.
    """

    def __init__(self, donors: Sequence[int | None]):
        self.left = {*range(len(donors))}
        self._borrowers = defaultdict(list)
        for place, donor in enumerate(donors):
            if donor is not None:
                self._borrowers[donor].append(place)
        self._ready = [place for place, donor in enumerate(donors) if donor is None]

    def begin(self) -> int | None:
        """The first run that can begin; None if none can at the moment."""
        while self._ready:
            place = heapq.heappop(self._ready)
            if place in self.left:  # else it was done before
                return place
        return None

    def end(self, place: int, *, lends: bool = True) -> list[int]:
        """A run is done, or given up; returns those that are left out with it.

        They are matched with it, and it `lends` them nothing.
        """
        self.left.discard(place)
        out = []
        for borrower in self._borrowers[place]:
            if borrower in self.left and lends:
                heapq.heappush(self._ready, borrower)
            elif borrower in self.left:
                out += [borrower, *self.end(borrower, lends=False)]
        return out
