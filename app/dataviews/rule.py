"""The rule of data views: whoever reads sees what one of their views shows, or what the view for everybody else does.

Asked for every read and every kind of credential alike: bearer tokens, service accounts and project secrets are all principals.
The people themselves get everything (GDPR article 15), and what the service looks at for itself shows names, never values.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.engine import Connection

from app.access.sight import Merges, Purpose, Window
from app.dataviews.model import DataView, views_of
from app.lexicon.reading import Reading
from app.sight.service import Narrowing, Rule, Viewer


def by_views(reading: Callable[[Connection, int], Reading]) -> Rule:
    """The rule, asking for views and members as they are in the transaction of the read."""

    def rule(tx: Connection, viewer: Viewer) -> Narrowing:
        if viewer.principal is None:
            return Narrowing()
        found = views_of(tx, viewer.project.id, viewer.principal.id)
        if not found:
            return Narrowing()
        names = reading(tx, viewer.project.id)
        # At a desk things go by their stored names.
        reads = viewer.purpose is Purpose.READER
        merges = Merges(names.merged_events, names.merged_properties) if reads else Merges()
        return Narrowing(windows=tuple(window_of(each, merges) for each in found))

    return rule


def window_of(view: DataView, merges: Merges) -> Window:
    """A view as what is seen through it. A filter goes by the names under which things are read."""
    withheld = {name for each in view.withheld_of_events for name in merges.alike(each)}
    return Window(
        events=merges.translated(view.events_expression),
        profiles=view.profiles_expression,
        withheld_of_events=frozenset(withheld),
        withheld_of_profiles=frozenset(view.withheld_of_profiles),
    )
