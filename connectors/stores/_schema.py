"""The store's tables, and how a database comes to have them."""

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from connectors.stores._views import make_views
from pipeline.core.errors import StoreError

_tables = sa.MetaData()
# SQLite counts rows by itself only in a column of exactly this type.
_counted = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

version = sa.Table("moonwatch_schema", _tables, sa.Column("version", sa.Integer, primary_key=True))
events = sa.Table(
    "moonwatch_events",
    _tables,
    # Never used twice, also after the newest events are forgotten: cursors point at it.
    sa.Column("position", _counted, primary_key=True, autoincrement=True),
    sa.Column("record_id", sa.Text, nullable=False, unique=True),
    sa.Column("kept_at", sa.Double, nullable=False, index=True),
    sa.Column("at", sa.Double, nullable=False, index=True),
    sa.Column("camera", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    # Text and not a JSON column: PostgreSQL would rewrite the numbers.
    sa.Column("body", sa.Text, nullable=False),
    sa.Index("moonwatch_events_by_rule", "camera", "rule", "at"),
    sqlite_autoincrement=True,
)
# Ids of happenings have 26 letters, and the record ids of its events begin with them.
ID_LETTERS = 26
by_happening = sa.Index(
    "moonwatch_events_by_happening", sa.text("substr(record_id, 1, 26)"), _table=events
)
media = sa.Table(
    "moonwatch_media",
    _tables,
    sa.Column("reference", sa.Text, primary_key=True),
    sa.Column("record_id", sa.Text, nullable=False, index=True),
    sa.Column("kept_at", sa.Double, nullable=False),
)
buckets = sa.Table(
    "moonwatch_buckets",
    _tables,
    sa.Column("camera", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("minute", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("samples", sa.BigInteger, nullable=False),
    sa.Column("coverage", sa.Double, nullable=False),
    # These four hold the values of rows that were written up to version 2; only read since.
    sa.Column("entered", sa.BigInteger),
    sa.Column("left", sa.BigInteger),
    sa.Column("mean", sa.Double),
    sa.Column("maximum", sa.BigInteger),
    sa.Column("kept_at", sa.Double, nullable=False),
    # JSON as text, like the body of an event: the values by the names of the rule's measures.
    sa.Column("measures", sa.Text),
    sa.Column("unfinished", sa.Boolean, nullable=False, server_default=sa.false()),
)
health = sa.Table(
    "moonwatch_health",
    _tables,
    sa.Column("camera", sa.Text, primary_key=True),
    sa.Column("at", sa.Double, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False),
)
checkpoints = sa.Table(
    "moonwatch_checkpoints",
    _tables,
    sa.Column("camera", sa.Text, primary_key=True),
    sa.Column("engine", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("ordinal", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False),
    sa.Column("ended", sa.Boolean, nullable=False, server_default=sa.false()),
)
fences = sa.Table(
    "moonwatch_fences",
    _tables,
    sa.Column("partition", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("token", sa.BigInteger, nullable=False),
)
cursors = sa.Table(
    "moonwatch_cursors",
    _tables,
    sa.Column("sink", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("enlisted", sa.Boolean, nullable=False),
)
undelivered = sa.Table(
    "moonwatch_undelivered",
    _tables,
    sa.Column("sink", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("record_id", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False),
)
# Releases that do not know these, and those below, are not disturbed by them: so they came
# without a new version.
leases = sa.Table(
    "moonwatch_leases",
    _tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.BigInteger, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("renewals", sa.BigInteger, nullable=False),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("renewed_at", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double),
)
presence = sa.Table(
    "moonwatch_presence",
    _tables,
    sa.Column("member", sa.Text, primary_key=True),
    sa.Column("report", sa.LargeBinary, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
)
requests = sa.Table(
    "moonwatch_requests",
    _tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
)

spending = sa.Table(
    "moonwatch_spending",
    _tables,
    sa.Column("who", sa.Text, primary_key=True),
    sa.Column("period", sa.Text, primary_key=True),
    sa.Column("begins_at", sa.Double, nullable=False),
    sa.Column("used", sa.BigInteger, nullable=False),
)
pictures = sa.Table(
    "moonwatch_pictures",
    _tables,
    # Every file that was written, also without an event; `media` above has what events refer to.
    sa.Column("reference", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False, index=True),
)
clips = sa.Table(
    "moonwatch_clips",
    _tables,
    sa.Column("reference", sa.Text, primary_key=True),
    sa.Column("camera", sa.Text, nullable=False, index=True),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("wanted_since", sa.Double, nullable=False),
    sa.Column("wanted_until", sa.Double, nullable=False),
    sa.Column("event_at", sa.Double, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    # Of the file, once there is one.
    sa.Column("since", sa.Double),
    sa.Column("until", sa.Double),
    sa.Column("size", sa.BigInteger),
    sa.Column("digest", sa.Text),
    sa.Column("codec", sa.Text),
    sa.Column("width", sa.BigInteger),
    sa.Column("height", sa.BigInteger),
    sa.Column("pictures", sa.BigInteger),
    sa.Column("kept_at", sa.Double, nullable=False, index=True),
)
# The files of a clip beyond its first one.
clip_files = sa.Table(
    "moonwatch_clip_files",
    _tables,
    sa.Column("reference", sa.Text, primary_key=True),
    # From 2.
    sa.Column("nth", sa.BigInteger, primary_key=True),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("codec", sa.Text, nullable=False),
    sa.Column("width", sa.BigInteger, nullable=False),
    sa.Column("height", sa.BigInteger, nullable=False),
    sa.Column("pictures", sa.BigInteger, nullable=False),
)
marks = sa.Table(
    "moonwatch_marks",
    _tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
)
notes = sa.Table(
    "moonwatch_notes",
    _tables,
    sa.Column("sink", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    # UTC seconds; null for what is kept for ever.
    sa.Column("over_at", sa.Double, index=True),
)
armings = sa.Table(
    "moonwatch_armings",
    _tables,
    sa.Column("position", _counted, primary_key=True, autoincrement=True),
    # From when it holds, in UTC seconds.
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("armed", sa.Boolean, nullable=False),
    # Null for all cameras.
    sa.Column("camera", sa.Text),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False),
    sqlite_autoincrement=True,
)
switches = sa.Table(
    "moonwatch_switches",
    _tables,
    sa.Column("position", _counted, primary_key=True, autoincrement=True),
    # From when it holds, in UTC seconds.
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("camera", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    # In JSON; `null` is what the file says.
    sa.Column("value", sa.Text, nullable=False),
    # The file's value that it stands in for, in JSON; null where that was not known.
    sa.Column("instead_of", sa.Text),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False),
    sqlite_autoincrement=True,
)
keys = sa.Table(
    "moonwatch_keys",
    _tables,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, index=True),
    # Of a secret with 256 random bits: nothing can be tried out against it.
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("requests_per_second", sa.Double),
    sa.Column("burst", sa.BigInteger),
    sa.Column("pictures_per_day", sa.BigInteger),
    sa.Column("tokens_per_day", sa.BigInteger),
    sa.Column("at_once", sa.BigInteger),
    sa.Column("made_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double),
    sa.Column("revoked_at", sa.Double),
    sa.Column("last_used_at", sa.Double),
    # Higher than that of any earlier change, so that servers see that there was one.
    sa.Column("changed", sa.BigInteger, nullable=False),
)
spent = sa.Table(
    "moonwatch_spent",
    _tables,
    # What is taken of the limits of a day, also by requests that have not ended.
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("pictures", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
)
ledger = sa.Table(
    "moonwatch_ledger",
    _tables,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("at", sa.Double, nullable=False, index=True),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("key_name", sa.Text, nullable=False),
    sa.Column("skill", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("status", sa.BigInteger, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("pictures", sa.BigInteger, nullable=False),
    sa.Column("crops", sa.BigInteger, nullable=False),
    sa.Column("image_tokens", sa.BigInteger, nullable=False),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
    sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
    sa.Column("bytes_in", sa.BigInteger, nullable=False),
    sa.Column("queued_ms", sa.Double, nullable=False),
    sa.Column("prefill_ms", sa.Double, nullable=False),
    sa.Column("decode_ms", sa.Double, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
    # Billionths, so that sums are exact.
    sa.Column("cost", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
)
usage = sa.Table(
    "moonwatch_usage",
    _tables,
    # The ledger added up by day, in the same transaction: it stays when entries are forgotten.
    sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key_name", sa.Text, primary_key=True),
    sa.Column("skill", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("currency", sa.Text, primary_key=True),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in (
            "requests",
            "failed",
            "cancelled",
            "pictures",
            "crops",
            "image_tokens",
            "prompt_tokens",
            "completion_tokens",
            "reasoning_tokens",
            "bytes_in",
            "queued_ms",
            "prefill_ms",
            "decode_ms",
            "request_ms",
            "cost",
        )
    ),
)
audits = sa.Table(
    "moonwatch_audits",
    _tables,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("camera", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
    sa.Column("drawn_at", sa.Double, nullable=False),
    sa.Column("judged_at", sa.Double),
    sa.Column("said_by", sa.Text, nullable=False),
    sa.Column("plan", sa.Text),
    sa.Column("verdicts", sa.Text, nullable=False),
    sa.Column("figures", sa.Text, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False),
    sa.Index("moonwatch_audits_by_rule", "camera", "rule"),
)
observations = sa.Table(
    "moonwatch_observations",
    _tables,
    # In the order of judging. Blocks, and the tails of minutes that are not over.
    sa.Column("position", _counted, primary_key=True, autoincrement=True),
    sa.Column("camera", sa.Text, nullable=False),
    sa.Column("engine", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("minute", sa.BigInteger, nullable=False),
    sa.Column("tail", sa.Boolean, nullable=False),
    sa.Column("frames", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False, index=True),
    sa.Index("moonwatch_observations_by_minute", "camera", "engine", "minute"),
    # The few tails of a camera and engine are looked for every minute, among thousands of blocks.
    sa.Index("moonwatch_observations_by_tail", "camera", "engine", "tail"),
    # A run that is played again is looked for at every beginning of a run.
    sa.Index("moonwatch_observations_by_run", "camera", "run"),
    sqlite_autoincrement=True,
)
waypoints = sa.Table(
    "moonwatch_waypoints",
    _tables,
    sa.Column("camera", sa.Text, primary_key=True),
    sa.Column("engine", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("ordinal", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    # JSON, compressed: most of it are names.
    sa.Column("state", sa.LargeBinary, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False, index=True),
)
waiting = sa.Table(
    "moonwatch_waiting",
    _tables,
    # Events that are not among the others yet, in the order in which they were judged.
    sa.Column("position", _counted, primary_key=True, autoincrement=True),
    sa.Column("record_id", sa.Text, nullable=False, unique=True),
    sa.Column("camera", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("in_order", sa.Boolean, nullable=False),
    # JSON as text; `look` is empty for one that waits only behind others, `outcome` until known.
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("look", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("picture", sa.LargeBinary),
)
verified = sa.Table(
    "moonwatch_verified",
    _tables,
    # What came of the second look at each happening: later events of it carry the same.
    sa.Column("happening", sa.Text, primary_key=True),
    sa.Column("camera", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False, index=True),
)

superseded = sa.Table(
    "moonwatch_superseded",
    _tables,
    # Events of an earlier judging of a recording that the last one has not reported again.
    sa.Column("record_id", sa.Text, primary_key=True),
)
sites = sa.Table(
    "moonwatch_sites",
    _tables,
    # Empty for the site of the file itself, else the name among `sites`.
    sa.Column("site", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
)
camera_sites = sa.Table(
    "moonwatch_camera_sites",
    _tables,
    sa.Column("camera", sa.Text, primary_key=True),
    sa.Column("site", sa.Text, nullable=False),
)
local_days = sa.Table(
    "moonwatch_local_days",
    _tables,
    # Parts of business days in which the clock has one offset; see `LocalSpan`.
    sa.Column("site", sa.Text, primary_key=True),
    sa.Column("since", sa.BigInteger, primary_key=True, autoincrement=False),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in ("until", "day_since", "day_until", "open_s", "offset_s")
    ),
    sa.Column("offset_since", sa.BigInteger, nullable=False),
    sa.Column("offset_until", sa.BigInteger, nullable=False),
    sa.Column("day", sa.Text, nullable=False),
)
edits = sa.Table(
    "moonwatch_edits",
    _tables,
    sa.Column("camera", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("at", sa.Double, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("changed", sa.Text, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False),
)
# What sinks are done with, and since when: everything up to the position.
passages = sa.Table(
    "moonwatch_passages",
    _tables,
    sa.Column("sink", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
)
reviews = sa.Table(
    "moonwatch_reviews",
    _tables,
    sa.Column("visitor", sa.Text, primary_key=True),
    sa.Column("happening", sa.Text, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
)
remarks = sa.Table(
    "moonwatch_remarks",
    _tables,
    sa.Column("id", _counted, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("camera", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False, index=True),
    # Empty where something was missed.
    sa.Column("happening", sa.Text, nullable=False, index=True),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("direction", sa.Text, nullable=False),
    sa.Column("remark", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False),
    sqlite_autoincrement=True,
)
people = sa.Table(
    "moonwatch_people",
    _tables,
    sa.Column("name", sa.Text, primary_key=True),
    # Its hash by argon2id, with salt and costs.
    sa.Column("password", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    # A list as JSON; null for all cameras. So below.
    sa.Column("cameras", sa.Text),
    sa.Column("made_at", sa.Double, nullable=False),
    sa.Column("disabled_at", sa.Double),
)
sessions = sa.Table(
    "moonwatch_sessions",
    _tables,
    sa.Column("id", sa.Text, primary_key=True),
    # Of a secret with 256 random bits, as that of a token.
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("who", sa.Text, nullable=False, index=True),
    sa.Column("began_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    # Null for a person of the table above.
    sa.Column("role", sa.Text),
    sa.Column("cameras", sa.Text),
)
tokens = sa.Table(
    "moonwatch_tokens",
    _tables,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("cameras", sa.Text),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("made_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double),
    sa.Column("ended_at", sa.Double),
    sa.Column("used_at", sa.Double),
)
shared_links = sa.Table(
    "moonwatch_shared_links",
    _tables,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("happening", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("nth", sa.Integer, nullable=False),
    sa.Column("camera", sa.Text, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("made_at", sa.Double, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
    sa.Column("opened", sa.BigInteger, nullable=False),
    sa.Column("opened_at", sa.Double),
)
attempts = sa.Table(
    "moonwatch_attempts",
    _tables,
    # An account or an address.
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("failures", sa.BigInteger, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)
journal = sa.Table(
    "moonwatch_journal",
    _tables,
    # What people did in the application, in the order in which they did it.
    sa.Column("position", _counted, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False, index=True),
    sqlite_autoincrement=True,
)
# Browsers that are told of events; the columns are those of `pipeline.core.pushing`.
push_devices = sa.Table(
    "moonwatch_push_devices",
    _tables,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("who", sa.Text, nullable=False, index=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("public_key", sa.Text, nullable=False),
    sa.Column("auth", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("made_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("session", sa.Text, index=True),
    sa.Column("is_foreign", sa.Boolean, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("told_at", sa.Double),
    sa.Column("trouble", sa.Text, nullable=False),
)
push_wishes = sa.Table(
    "moonwatch_push_wishes",
    _tables,
    sa.Column("who", sa.Text, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)
push_letters = sa.Table(
    "moonwatch_push_letters",
    _tables,
    sa.Column("device", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("made_at", sa.Double, nullable=False),
    sa.Column("next_at", sa.Double, nullable=False, index=True),
    sa.Column("tries", sa.BigInteger, nullable=False),
)
push_told = sa.Table(
    "moonwatch_push_told",
    _tables,
    sa.Column("who", sa.Text, primary_key=True),
    sa.Column("camera", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("happening", sa.Text, nullable=False),
)
push_outcomes = sa.Table(
    "moonwatch_push_outcomes",
    _tables,
    # Days of UTC since 1970.
    sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
)
push_desk = sa.Table(
    "moonwatch_push_desk",
    _tables,
    # One row: who sends until when by the database's clock, and how far events were looked at.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
)
push_keys = sa.Table(
    "moonwatch_push_keys",
    _tables,
    # One row: the private key that push services know this installation by, as PEM.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False),
)

_written: dict[tuple[str, str], tuple[str, ...]] = {}
"""What makes a table, by dialect and name: to write it takes far longer than to run it."""


def _create(connection: sa.Connection, table: sa.Table) -> None:
    """Make a table that is not there, and its indexes."""
    key = (connection.dialect.name, table.name)
    if key not in _written:
        indexes = sorted(table.indexes, key=lambda one: str(one.name))
        made: list[sa.schema.ExecutableDDLElement] = [sa.schema.CreateTable(table)]
        made += map(sa.schema.CreateIndex, indexes)
        _written[key] = tuple(str(one.compile(dialect=connection.dialect)) for one in made)
    for statement in _written[key]:
        connection.exec_driver_sql(statement)


Migration = Callable[[sa.Connection], None]


def _add_fences(connection: sa.Connection) -> None:
    connection.exec_driver_sql(
        "ALTER TABLE moonwatch_checkpoints ADD COLUMN ended BOOLEAN NOT NULL DEFAULT false"
    )
    fences.create(connection)


def _add_measures(connection: sa.Connection) -> None:
    for column in ("measures TEXT", "unfinished BOOLEAN NOT NULL DEFAULT false"):
        connection.exec_driver_sql(f"ALTER TABLE moonwatch_buckets ADD COLUMN {column}")


MIGRATIONS: tuple[Migration, ...] = (_add_fences, _add_measures)
"""Each brings the tables from one version to the next; the first starts from version 1."""


def prepare(
    connection: sa.Connection, place: str, migrations: Sequence[Migration] = MIGRATIONS
) -> None:
    """Make the tables, or bring older ones up to date; refuses those of a newer moonwatch.

    Runs inside the caller's transaction, so that a failure leaves what was there.
    """
    newest = 1 + len(migrations)
    there = set(sa.inspect(connection).get_table_names())
    if version.name not in there:
        for table in _tables.sorted_tables:
            if table.name not in there:
                _create(connection, table)
        make_views(connection)
        connection.execute(version.insert().values(version=newest))
        return
    found = connection.scalar(sa.select(version.c.version))
    if found is None or not 1 <= found <= newest:
        raise StoreError(
            f"the store {place} has version {found} of the tables and this moonwatch knows "
            f"versions 1 to {newest}; run the moonwatch that wrote it, or name another store"
        )
    for table in (
        leases, presence, requests, spending, pictures, marks, keys, spent, ledger, usage, audits,
        observations, waypoints, clip_files,
        waiting, verified, clips, notes, armings, superseded,
        sites, camera_sites, local_days, edits, switches,
        people, sessions, tokens, attempts, journal,
        passages, reviews, remarks, shared_links,
        push_devices, push_wishes, push_letters, push_told, push_outcomes, push_desk, push_keys,
    ):  # fmt: skip
        if table.name not in there:
            _create(connection, table)
    # Whether it is there cannot be asked: it is of an expression.
    connection.execute(sa.schema.CreateIndex(by_happening, if_not_exists=True))
    for migrate in migrations[found - 1 :]:
        migrate(connection)
    make_views(connection)
    if found != newest:
        connection.execute(version.update().values(version=newest))
