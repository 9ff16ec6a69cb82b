"""Views for tools of business intelligence; their columns are documented in docs/sql.md.

They are made where they are missing, and replaced where a release knows more columns of them: these
come at the end, so that questions, grants and other views that stand on them stay. An older release
leaves those of a newer one alone, and releases that know none are not disturbed by them.
"""

import sqlalchemy as sa

VERSION = 3
"""Raised with every change of a view."""
_MARK = "moonwatch views "
_OF_TIME = """
    SELECT camera, rule, measure, {start} AS {name},
        sum(value) AS total,
        sum(value * coverage) / NULLIF(sum(CASE WHEN value IS NOT NULL THEN coverage END), 0)
            AS mean,
        max(value) AS highest,
        min(value) AS lowest,
        max(CASE WHEN place = 1 THEN value END) AS last,
        CASE WHEN sum(coverage) < {minutes} THEN sum(coverage) / {minutes}.0 ELSE 1.0 END
            AS coverage,
        sum(coverage) AS minutes_known,
        {minutes} AS minutes
    FROM (
        SELECT camera, rule, measure, value, coverage, {begins} AS begins,
            row_number() OVER (
                PARTITION BY camera, rule, measure, {begins}
                ORDER BY CASE WHEN value IS NULL THEN 1 ELSE 0 END, begins_at DESC
            ) AS place
        FROM moonwatch_counts_minutely
    ) AS minutes
    GROUP BY camera, rule, measure, begins
"""
_LOCAL = """
    SELECT s.name AS site, m.camera, m.rule, m.measure, m.value, m.coverage, m.begins_at,
        d.day AS day, d.day_since, d.day_until, d.open_s, d.offset_s,
        {latest}(m.begins_at - {into_hour}, d.offset_since) AS hour_since,
        {earliest}(m.begins_at - {into_hour} + 3600, d.offset_until) AS hour_until
    FROM moonwatch_counts_minutely AS m
    JOIN moonwatch_camera_sites AS c ON c.camera = m.camera
    JOIN moonwatch_sites AS s ON s.site = c.site
    JOIN moonwatch_local_days AS d ON d.site = c.site AND d.since <= m.begins_at
        AND d.since > m.begins_at - 172800 AND m.begins_at < d.until
"""
_OF_LOCAL_TIME = """
    SELECT site, camera, rule, measure, {columns},
        sum(value) AS total,
        sum(value * coverage) / NULLIF(sum(CASE WHEN value IS NOT NULL THEN coverage END), 0)
            AS mean,
        max(value) AS highest,
        min(value) AS lowest,
        max(CASE WHEN place = 1 THEN value END) AS last,
        CASE WHEN sum(coverage) * 60 < {seconds} THEN sum(coverage) * 60.0 / {seconds} ELSE 1.0 END
            AS coverage,
        sum(coverage) AS minutes_known,
        {seconds} / 60.0 AS minutes{more}
    FROM (
        SELECT local.*,
            row_number() OVER (
                PARTITION BY site, camera, rule, measure, {begins}
                ORDER BY CASE WHEN value IS NULL THEN 1 ELSE 0 END, begins_at DESC
            ) AS place
        FROM ({local}) AS local
    ) AS minutes
    GROUP BY site, camera, rule, measure, {begins}
"""
_HAPPENINGS = """
    SELECT happening, min(type) AS type, min(camera) AS camera, min(rule) AS rule,
        min(label) AS label, min(track) AS track,
        min(at) AS began,
        max(CASE WHEN phase IN ('end', 'single') THEN at END) AS ended,
        max(seconds) AS seconds,
        max(verified) AS verified,
        count(*) AS events,
        CASE WHEN sum(CASE WHEN counted_as = 'superseded' THEN 0 ELSE 1 END) = 0 THEN 'superseded'
            WHEN max(verified) = 'rejected' THEN 'rejected' ELSE 'counted' END AS counted_as
    FROM moonwatch_events_flat
    GROUP BY happening
"""
# Only rules with visits have events with these: `dwell`.
_VISITS = """
    SELECT happening, camera, rule, zone, label, track,
        {since} AS entered_at,
        {until} AS left_at,
        seconds,
        CASE WHEN reason = 'over' THEN 'yes' ELSE 'no' END AS complete,
        reason,
        counted_as
    FROM moonwatch_events_flat
    WHERE type = 'dwell' AND phase = 'end'
"""
_SQLITE_MINUTES = """
    SELECT strftime('%Y-%m-%dT%H:%M:00Z', b.minute, 'unixepoch') AS minute,
        b.camera, b.rule, m.key AS measure, m.value AS value, b.coverage, b.samples, b.unfinished,
        b.minute AS begins_at
    FROM moonwatch_buckets AS b, json_each(coalesce(b.measures, json_object(
        'entered', b.entered, 'left', b."left", 'mean', b.mean, 'maximum', b.maximum))) AS m
    WHERE b.measures IS NOT NULL OR m.value IS NOT NULL
"""
_POSTGRESQL_MINUTES = """
    SELECT to_timestamp(b.minute) AS minute,
        b.camera, b.rule, m.key AS measure, CAST(m.value AS double precision) AS value,
        b.coverage, b.samples, b.unfinished, b.minute AS begins_at
    FROM moonwatch_buckets AS b, json_each_text(coalesce(CAST(b.measures AS json),
        json_build_object(
            'entered', b.entered, 'left', b."left", 'mean', b.mean, 'maximum', b.maximum))) AS m
    WHERE b.measures IS NOT NULL OR m.value IS NOT NULL
"""
_COUNTED_AS = """CASE
            WHEN e.record_id IN (SELECT record_id FROM moonwatch_superseded) THEN 'superseded'
            WHEN {verified} = 'rejected' THEN 'rejected' ELSE 'counted' END AS counted_as"""
_SQLITE_EVENTS = """
    SELECT e.record_id AS id, json_extract(e.body, '$.id') AS happening, e.type, e.phase,
        strftime('%Y-%m-%dT%H:%M:%fZ', e.at, 'unixepoch') AS at,
        e.camera, e.rule,
        json_extract(e.body, '$.subject.label') AS label,
        json_extract(e.body, '$.subject.track') AS track,
        CASE WHEN json_type(e.body, '$.data.zone') = 'text'
            THEN json_extract(e.body, '$.data.zone') END AS zone,
        CASE WHEN json_type(e.body, '$.data.seconds') IN ('integer', 'real')
            THEN json_extract(e.body, '$.data.seconds') END AS seconds,
        CASE WHEN json_type(e.body, '$.data.reason') = 'text'
            THEN json_extract(e.body, '$.data.reason') END AS reason,
        CASE WHEN json_type(e.body, '$.data.verified') = 'text'
            THEN json_extract(e.body, '$.data.verified') END AS verified,
        json_extract(e.body, '$.data') AS data,
        e.position,
        {counted_as}
    FROM moonwatch_events AS e
""".replace("{counted_as}", _COUNTED_AS.format(verified="json_extract(e.body, '$.data.verified')"))
# A text may hold the one character that PostgreSQL cannot: it would refuse the whole question.
_POSTGRESQL_EVENTS = r"""
    SELECT e.record_id AS id, e.body ->> 'id' AS happening, e.type, e.phase,
        to_timestamp(e.at) AS at,
        e.camera, e.rule,
        e.body #>> '{subject,label}' AS label,
        CAST(e.body #>> '{subject,track}' AS bigint) AS track,
        CASE WHEN json_typeof(e.body #> '{data,zone}') = 'string'
            THEN e.body #>> '{data,zone}' END AS zone,
        CASE WHEN json_typeof(e.body #> '{data,seconds}') = 'number'
            THEN CAST(e.body #>> '{data,seconds}' AS double precision) END AS seconds,
        CASE WHEN json_typeof(e.body #> '{data,reason}') = 'string'
            THEN e.body #>> '{data,reason}' END AS reason,
        CASE WHEN json_typeof(e.body #> '{data,verified}') = 'string'
            THEN e.body #>> '{data,verified}' END AS verified,
        CAST(e.body -> 'data' AS text) AS data,
        e.position,
        {counted_as}
    FROM (
        SELECT record_id, type, phase, at, camera, rule, position,
            CAST(replace(body, '\u0000', '\ufffd') AS json) AS body
        FROM moonwatch_events
    ) AS e
""".replace("{counted_as}", _COUNTED_AS.format(verified="e.body #>> '{data,verified}'"))
_SQLITE_LOCAL = _LOCAL.format(
    latest="max", earliest="min", into_hour="(m.begins_at + d.offset_s) % 3600"
)
_POSTGRESQL_LOCAL = _LOCAL.format(
    latest="greatest", earliest="least", into_hour="mod(m.begins_at + d.offset_s, 3600)"
)
_DAY_SECONDS = "(max(day_until) - max(day_since))"
_HOUR_SECONDS = "(max(hour_until) - max(hour_since))"
_OPEN = ",\n        max(open_s) / 60.0 AS minutes_open"
_SQLITE = {
    "moonwatch_counts_minutely": _SQLITE_MINUTES,
    "moonwatch_counts_hourly": _OF_TIME.format(
        name="hour",
        begins="begins_at - begins_at % 3600",
        start="strftime('%Y-%m-%dT%H:00:00Z', begins, 'unixepoch')",
        minutes=60,
    ),
    "moonwatch_counts_daily": _OF_TIME.format(
        name="day",
        begins="begins_at - begins_at % 86400",
        start="strftime('%Y-%m-%d', begins, 'unixepoch')",
        minutes=1440,
    ),
    "moonwatch_events_flat": _SQLITE_EVENTS,
    "moonwatch_happenings": _HAPPENINGS,
    "moonwatch_visits": _VISITS.format(
        since="json_extract(data, '$.since')", until="coalesce(json_extract(data, '$.until'), at)"
    ),
    "moonwatch_counts_hourly_local": _OF_LOCAL_TIME.format(
        columns="""strftime('%Y-%m-%dT%H:%M:00', hour_since + max(offset_s), 'unixepoch') AS hour,
        strftime('%Y-%m-%dT%H:%M:00Z', hour_since, 'unixepoch') AS hour_utc,
        min(day) AS day""",
        seconds=_HOUR_SECONDS,
        begins="hour_since",
        local=_SQLITE_LOCAL,
        more="",
    ),
    "moonwatch_counts_daily_local": _OF_LOCAL_TIME.format(
        columns="""day,
        strftime('%Y-%m-%dT%H:%M:00Z', max(day_since), 'unixepoch') AS day_utc""",
        seconds=_DAY_SECONDS,
        begins="day",
        local=_SQLITE_LOCAL,
        more=_OPEN,
    ),
}
_POSTGRESQL = {
    "moonwatch_counts_minutely": _POSTGRESQL_MINUTES,
    "moonwatch_counts_hourly": _OF_TIME.format(
        name="hour",
        begins="begins_at - mod(begins_at, 3600)",
        start="to_timestamp(begins)",
        minutes=60,
    ),
    "moonwatch_counts_daily": _OF_TIME.format(
        name="day",
        begins="begins_at - mod(begins_at, 86400)",
        start="CAST(to_timestamp(begins) AT TIME ZONE 'UTC' AS date)",
        minutes=1440,
    ),
    "moonwatch_events_flat": _POSTGRESQL_EVENTS,
    "moonwatch_happenings": _HAPPENINGS,
    "moonwatch_visits": _VISITS.format(
        since="CAST(CAST(data AS json) ->> 'since' AS timestamptz)",
        until="coalesce(CAST(CAST(data AS json) ->> 'until' AS timestamptz), at)",
    ),
    "moonwatch_counts_hourly_local": _OF_LOCAL_TIME.format(
        columns="""to_timestamp(hour_since + max(offset_s)) AT TIME ZONE 'UTC' AS hour,
        to_timestamp(hour_since) AS hour_utc,
        CAST(min(day) AS date) AS day""",
        seconds=_HOUR_SECONDS,
        begins="hour_since",
        local=_POSTGRESQL_LOCAL,
        more="",
    ),
    "moonwatch_counts_daily_local": _OF_LOCAL_TIME.format(
        columns="""CAST(day AS date) AS day,
        to_timestamp(max(day_since)) AS day_utc""",
        seconds=_DAY_SECONDS,
        begins="day",
        local=_POSTGRESQL_LOCAL,
        more=_OPEN,
    ),
}
NAMES = tuple(_SQLITE)
"""The views, those that others stand on first."""


def make_views(connection: sa.Connection) -> None:
    """Make the views that are missing or of an earlier release, in the caller's transaction."""
    if connection.dialect.name == "sqlite":
        _make_in_sqlite(connection)
    else:
        _make_in_postgresql(connection)


def _make_in_sqlite(connection: sa.Connection) -> None:
    asked = "SELECT name, sql FROM sqlite_master WHERE type = 'view'"
    found = {name: _version(sql) for name, sql in connection.exec_driver_sql(asked)}
    for name, query in _SQLITE.items():
        if found.get(name, 0) >= VERSION:
            continue
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE VIEW {name} AS /* {_MARK}{VERSION} */{query}")


def _make_in_postgresql(connection: sa.Connection) -> None:
    asked = "SELECT obj_description(to_regclass('{}'), 'pg_class')"
    for name, query in _POSTGRESQL.items():
        if _version(connection.exec_driver_sql(asked.format(name)).scalar()) >= VERSION:
            continue
        # Not dropped: that would take the rights away that were given to readers.
        text = f"CREATE OR REPLACE VIEW {name} AS {query}"
        connection.exec_driver_sql(text)
        connection.exec_driver_sql(f"COMMENT ON VIEW {name} IS '{_MARK}{VERSION}: docs/sql.md'")


def _version(text: str | None) -> int:
    """Which version made a view; 0 where it was not one of these, or is not there."""
    _, mark, rest = (text or "").partition(_MARK)
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return int(digits) if mark and digits else 0
