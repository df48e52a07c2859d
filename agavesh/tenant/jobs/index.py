"""The index of jobs: a narrow row for each, so that to list or search very many means to read none of their records.

It holds what can be searched, in the form that searches compare (texts in lower case, moments as epoch seconds), and
follows the records: `keep` writes both. A row's number rises in the order of submission, and `user` is the owner as
written. What a search may say is in `conditions`; who may see what is for the caller to add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from agavesh.tenant.conditions import Conditions, Kind
from agavesh.tenant.limits import seconds

if TYPE_CHECKING:
    from agavesh.tenant.store import Store

Job = Mapping[str, Any]

FINAL = ("FINISHED", "FAILED", "STOPPED", "KILLED")

_FIELDS: dict[str, tuple[Kind, str]] = {  # name in searches: what it is, and where it stands in the record
    "appid": ("text", "appId"), "archive": ("flag", "archive"), "archivepath": ("text", "archivePath"),
    "archivesystem": ("text", "archiveSystem"), "batchqueue": ("text", "batchQueue"), "charge": ("number", "charge"),
    "created": ("moment", "created"), "endtime": ("moment", "endTime"), "errormessage": ("text", "message"),
    "executionsystem": ("text", "executionSystem"), "id": ("text", "id"), "inputs": ("text", "inputs"),
    "lastupdated": ("moment", "lastUpdated"), "localid": ("text", "localId"), "maxruntime": ("number", "maxRunTime"),
    "memorypernode": ("number", "memoryPerNode"), "name": ("text", "name"), "nodecount": ("number", "nodeCount"),
    "outputpath": ("text", "outputPath"), "owner": ("text", "owner"), "parameters": ("text", "parameters"),
    "processorspernode": ("number", "processorsPerNode"), "retries": ("number", "retries"),
    "starttime": ("moment", "startTime"), "status": ("text", "status"), "submittime": ("moment", "submitTime"),
    "visible": ("flag", "_visible"),
}  # fmt: skip

# what the search knows besides the columns: (kind, expression)
COLUMNS: dict[str, tuple[Kind, str]] = {
    **{name: (kind, name) for name, (kind, _) in _FIELDS.items()},
    "lastmodified": ("moment", "lastupdated"),
    "runtime": ("number", "cast(endtime - starttime as integer)"),  # seconds, as the platform's service counts them
    "walltime": ("number", "cast(endtime - created as integer)"),
}

TABLES = f"""
create table if not exists jobs (number integer primary key, user text not null, {", ".join(_FIELDS)});
create unique index if not exists jobs_by_id on jobs (id);
create index if not exists jobs_by_user on jobs (user, visible);
create index if not exists jobs_by_status on jobs (status, user);
create index if not exists jobs_by_app on jobs (appid, user);
create index if not exists grants_by_user on grants (username);
"""

_KEEP = (
    f"insert into jobs (user, {', '.join(_FIELDS)}) values (?, {', '.join('?' * len(_FIELDS))})"
    f" on conflict (id) do update set {', '.join(f'{name} = excluded.{name}' for name in _FIELDS if name != 'id')}"
)


def keep(store: Store, job: Job) -> None:
    """Write the record of a job, and what the index says of it."""
    with store.together():
        store.put("job", job["id"], dict(job), owner=job["owner"])
        store.sql(_KEEP, job["owner"], *_row(job))


def _row(job: Job) -> Iterable[Any]:
    for name, (kind, field) in _FIELDS.items():
        value = job.get(field)
        if name == "maxruntime":
            yield seconds(value)
        elif value is None:
            yield None
        else:
            yield _FORMS[kind](value)


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else msgspec.json.encode(value).decode()).lower()


_FORMS: dict[Kind, Callable[[Any], Any]] = {
    "text": _text,
    "number": lambda value: value,
    "flag": int,
    "moment": lambda value: datetime.fromisoformat(value).timestamp(),
}


def complete(store: Store) -> None:
    """Give every job its row that has none: records of a program that had no index."""
    missing = store.sql(
        "select id from records where kind = 'job' and id not in (select id from jobs) order by created, rowid"
    )
    if missing:
        with store.together():
            for (job_id,) in missing:
                keep(store, store.get("job", job_id) or {})


def unfinished(store: Store) -> list[str]:
    """The ids of all jobs that are not at their end, oldest first."""
    marks = ", ".join("?" * len(FINAL))
    wanted = [status.lower() for status in FINAL]
    rows = store.sql(f"select id from jobs where status not in ({marks}) order by number", *wanted)
    return [id for (id,) in rows]


def of_app(store: Store, app_id: str) -> list[str]:
    """The ids of the jobs of an app that are not hidden."""
    return [id for (id,) in store.sql("select id from jobs where appid = ? and visible", app_id.lower())]


async def search(
    store: Store, seen: str, values: Iterable[Any], wanted: Conditions, *, order: str, offset: int, limit: int
) -> list[str]:
    """The ids of a page of the jobs that the condition `seen`, with its `values`, and a search let through."""
    columns = ", ".join(["id", *(column for column, _ in wanted.patterns)])
    where = " and ".join([seen, *wanted.where])
    statement = f"select {columns} from jobs where {where} order by {order}"
    values = [*values, *wanted.values]
    if not wanted.patterns:
        return [id for (id,) in store.sql(f"{statement} limit ? offset ?", *values, limit, offset)]
    rows = store.sql(statement, *values)
    return (await trio.to_thread.run_sync(wanted.fitting, rows))[offset : offset + limit]


def ordering(by: str, order: str) -> str:
    """How a list is ordered, for `search`; ValueError for a field or a direction that is none."""
    if (direction := order.upper() or "DESC") not in ("ASC", "DESC"):
        raise ValueError(f"Invalid order {order}. Use ASC or DESC")
    if by and by.lower() not in COLUMNS:
        raise ValueError(f"Invalid orderBy value {by}. No such field")
    return f"{COLUMNS[by.lower()][1]} {direction}, number {direction}" if by else f"number {direction}"
