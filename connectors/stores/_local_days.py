"""The days of sites, for the views that sum up by them; see `pipeline.core.local_days`."""

from collections.abc import Mapping
from dataclasses import asdict

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from connectors.stores._leases import prove
from pipeline.core.local_days import SiteDays
from pipeline.core.measures import BUCKET_S
from pipeline.core.store import LeaseProof

_ROWS_AT_ONCE = 1000


class SqlLocalDays:
    """Sites, their days, and which cameras are theirs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known_time(self) -> tuple[int, int] | None:
        """From the first minute to the end of the last one."""
        minute = _schema.buckets.c.minute
        # One after the other: each is found at one end of an index where there is one.
        wanted = (sa.select(sa.func.min(minute)), sa.select(sa.func.max(minute)))
        with self._database.read("see of which time it knows") as connection:
            first, last = (connection.scalar(one) for one in wanted)
        return None if first is None or last is None else (first, last + BUCKET_S)

    def write(
        self,
        sites: Mapping[str, SiteDays],
        cameras: Mapping[str, str],
        lease: LeaseProof | None = None,
    ) -> None:
        """Replace the days of all sites in one transaction.

        Raises OwnershipLostError where `lease` was lost.
        """
        names = [
            {"site": key, "name": storable(one.name), "timezone": one.timezone}
            for key, one in sites.items()
        ]
        days = [{"site": key, **asdict(span)} for key, one in sites.items() for span in one.spans]
        theirs = [{"camera": camera, "site": site} for camera, site in cameras.items()]
        with self._database.write("write down the days of sites", durably=False) as connection:
            prove(connection, lease)
            for table in (_schema.local_days, _schema.sites):
                connection.execute(sa.delete(table))
            self._database.upsert(connection, _schema.sites, names)
            self._database.upsert(connection, _schema.camera_sites, theirs)
            for start in range(0, len(days), _ROWS_AT_ONCE):
                some = days[start : start + _ROWS_AT_ONCE]
                connection.execute(_schema.local_days.insert(), some)
