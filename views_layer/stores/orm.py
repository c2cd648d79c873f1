"""The view store in a database of Django: SQLite as it comes, PostgreSQL by URL."""

import secrets
from collections.abc import Iterable, Sequence
from itertools import islice

from django.db import connections, transaction

from aggregations.buckets import DAY, HOUR, MONTH
from aggregations.rollups import DECLARATION
from batch.view_store import GrainRange, NotSealed, RowAddress, RowsGone, StoreSize, ViewStore
from batch.view_store import ViewRow as Row
from views_layer.models import Seal, ViewRow

ROWS_AT_ONCE = 500
BIRTH = -1
"""The version under which the store keeps its own mark."""
CLEANED = -2
"""The version under which the store keeps up to which version it was cleaned."""
BYTES = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgresql": f"SELECT pg_total_relation_size('{ViewRow._meta.db_table}')",
}
"""What the store takes on disk, by database vendor; of SQLite the whole file, which is the store's own."""


class OrmViewStore(ViewStore):
    """Rows in the table `views_layer_viewrow` of the database `views`."""

    def write(self, version: int, rows: Iterable[Row]) -> int:
        written = 0
        with transaction.atomic(using="views"), connections["views"].cursor() as cursor:
            remaining = iter(rows)
            while some := list(islice(remaining, ROWS_AT_ONCE)):
                cursor.executemany(
                    f'INSERT INTO {ViewRow._meta.db_table} (hub, rollup, grain, start, "end", version, payload)'
                    " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                    [(row.hub, row.rollup, row.grain, row.start, row.end, version, row.payload) for row in some],
                )
                written += len(some)
        return written

    def addresses(
        self, hub: str, rollup: str, ranges: Sequence[GrainRange], version: int, must_be_sealed: bool = False
    ) -> list[RowAddress]:
        found = [address for one in ranges for address in self._addresses(hub, rollup, *one, version)]
        if must_be_sealed and not self.is_sealed(version):
            raise NotSealed(version)
        return found

    def _addresses(self, hub: str, rollup: str, grain: str, start: int, end: int, version: int) -> list[RowAddress]:
        found = ViewRow.objects.filter(
            hub=hub, rollup=rollup, grain=grain, start__gte=start, start__lt=end, version__lte=version
        ).order_by("start", "end", "version")
        newest = {row[:2]: row for row in found.values_list("start", "end", "version", "pk")}
        return [RowAddress(grain, *row) for row in newest.values()]

    def written(self, version: int, rollup: str, grain: str) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        rows = ViewRow.objects.filter(version=version, rollup=rollup, grain=grain).order_by("hub", "start")
        for hub, start in rows.values_list("hub", "start").iterator():
            found.setdefault(hub, []).append(start)
        return found

    def first_start(self, hub: str, rollup: str, version: int, start: int = 0) -> int | None:
        found = ViewRow.objects.filter(hub=hub, rollup=rollup, grain=HOUR, version__lte=version, start__gte=start)
        return found.order_by("start").values_list("start", flat=True).first()

    def fetch(self, addresses: Sequence[RowAddress]) -> list[bytes]:
        payloads: dict[int | str, bytes] = {}
        for first in range(0, len(addresses), ROWS_AT_ONCE):
            wanted = [address.reference for address in addresses[first : first + ROWS_AT_ONCE]]
            found = ViewRow.objects.filter(pk__in=wanted).values_list("pk", "payload")
            payloads.update((pk, bytes(payload)) for pk, payload in found)
        try:
            return [payloads[address.reference] for address in addresses]
        except KeyError as missing:
            raise RowsGone(f"View row {missing} was cleaned up; read again from the published epoch.") from None

    def seal(self, version: int, birth: str) -> bool:
        with transaction.atomic(using="views"):
            if not Seal.objects.select_for_update().filter(version=BIRTH, declaration=birth):
                return False
            Seal.objects.update_or_create(version=version, defaults={"declaration": DECLARATION})
            return True

    def is_sealed(self, version: int) -> bool:
        return version == 0 or Seal.objects.filter(version=version, declaration=DECLARATION).exists()

    def birth(self) -> str:
        return Seal.objects.get_or_create(version=BIRTH, defaults={"declaration": secrets.token_hex(8)})[0].declaration

    def discard(self, version: int) -> None:
        ViewRow.objects.filter(version=version)._raw_delete("views")

    def clean_up(self, version: int) -> int:
        table = ViewRow._meta.db_table
        with transaction.atomic(using="views"), connections["views"].cursor() as cursor:
            kept = Seal.objects.filter(version=CLEANED).values_list("declaration", flat=True).first()
            cleaned = int(kept or 0)
            if version <= cleaned:
                return 0
            # Only what a version wrote since the last clean-up makes older rows stale, and only those of its buckets.
            # SQLite keeps the order of a CROSS JOIN: from the few new rows to the old ones.
            cursor.execute(
                f"DELETE FROM {table} WHERE id IN (SELECT stale.id FROM {table} AS fresh CROSS JOIN {table} AS stale"
                " WHERE fresh.version > %s AND fresh.version <= %s AND stale.hub = fresh.hub"
                " AND stale.rollup = fresh.rollup AND stale.grain = fresh.grain AND stale.start = fresh.start"
                ' AND stale."end" = fresh."end" AND stale.version < fresh.version)',
                [cleaned, version],
            )
            deleted = cursor.rowcount
            Seal.objects.update_or_create(version=CLEANED, defaults={"declaration": str(version)})
        return deleted

    def remove_before(self, hub: str, hour: int) -> int:
        return ViewRow.objects.filter(hub=hub, start__lt=hour)._raw_delete("views")

    def forget_days(self, hub: str) -> None:
        ViewRow.objects.filter(hub=hub, grain__in=[DAY, MONTH])._raw_delete("views")

    def size(self) -> StoreSize | None:
        query = BYTES.get(connections["views"].vendor)
        if query is None:
            return None
        with connections["views"].cursor() as cursor:
            cursor.execute(query)
            return StoreSize(ViewRow.objects.count(), cursor.fetchone()[0])
