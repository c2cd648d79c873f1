"""The view store that settings name, whichever it is."""

from django.conf import settings
from elasticsearch import Elasticsearch

from statsproject.addresses import ELASTIC_VIEW_STORE
from views_layer.models import Seal, ViewRow


def lose_rows() -> None:
    """Delete everything in the view store, as an operator would."""
    chosen = settings.VIEW_STORE
    if chosen["BACKEND"] == ELASTIC_VIEW_STORE:
        drop_indexes(chosen["OPTIONS"]["hosts"], chosen["OPTIONS"]["prefix"])
    else:
        ViewRow.objects.all().delete()
        Seal.objects.all().delete()


def drop_indexes(hosts: list[str], prefix: str) -> None:
    """Delete all indexes of a prefix. The server refuses to delete by pattern."""
    with Elasticsearch(hosts) as client:
        for name in client.indices.get_alias(index=f"{prefix}-*"):
            client.indices.delete(index=name)
