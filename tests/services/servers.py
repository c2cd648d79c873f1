"""Servers that run already, named by the environment, as the suite's own settings."""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

ELASTICSEARCH, POSTGRESQL, REDIS = "TEST_VIEW_STORE_URL", "TEST_DATABASE_URL", "TEST_REDIS_URL"
REDIS_CLUSTER, REDIS_TLS, SENTINELS = "TEST_REDIS_CLUSTER_URL", "TEST_REDIS_TLS_URL", "TEST_SENTINELS_URL"
OF_REDIS = {"redis": REDIS, "redis-cluster": REDIS_CLUSTER, "redis-tls": REDIS_TLS, "redis-behind-sentinels": SENTINELS}
RABBITMQ, EVENT_LOG = "TEST_AMQP_URL", "TEST_EVENT_LOG_URL"
SPARK = "TEST_SPARK_MASTER"
PROFILE = "TEST_PROFILE"
"""Which of these servers the whole suite uses, by comma; without it only tests of a backend of theirs do."""


def name_in_settings(data_dir: Path) -> None:
    """Set the variables that settings read, for the profile. Databases and indexes are named after `data_dir`."""
    name = own_name(data_dir)
    for part in filter(None, os.environ.get(PROFILE, "").split(",")):
        if part == "elasticsearch":
            os.environ["VIEW_STORE_URL"] = f"{os.environ[ELASTICSEARCH]}/{name}"
        elif part == "postgresql":
            for variable in ("DATABASE_URL", "EVENT_LOG_URL", "VIEW_STORE_URL"):
                url = urlsplit(os.environ[POSTGRESQL])
                os.environ[variable] = url._replace(path=f"/{name}_{variable.partition('_')[0].lower()}").geturl()
        elif part == "ferretdb":
            os.environ["EVENT_LOG_URL"] = f"{os.environ[EVENT_LOG]}/{name}"
        elif part in OF_REDIS:
            os.environ["REDIS_URL"] = os.environ[OF_REDIS[part]]
        elif part == "spark":
            os.environ |= {"BATCH_ENGINE": "spark", "SPARK_MASTER": os.environ[SPARK]}
            os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
        else:
            raise ValueError(
                f"{PROFILE} names {part!r}; it may name elasticsearch, postgresql, ferretdb, spark"
                f" and {', '.join(OF_REDIS)}."
            )


def own_name(data_dir: Path) -> str:
    """A name for what the suite makes in a server: letters, digits and _."""
    return data_dir.name.replace("-", "_").lower()
