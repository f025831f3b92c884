"""The tables, as this Leadline reads and writes them. How a store gets here is in ``migrations``.

What is filtered or joined is a column; what only travels (a profile, a run configuration, conditions) is a JSON
document. Instants are ISO 8601 texts in UTC with microseconds, so that they sort as text and read in any SQL
shell. Samples are little-endian int64 blobs, one element an inference.
"""

from __future__ import annotations

import sqlalchemy as sa

REVISION = "0002"  # the newest of migrations/versions; counts up

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

setting = sa.Table(
    "setting",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

profile = sa.Table(
    "profile",
    metadata,
    sa.Column("serial", sa.Text, primary_key=True),
    sa.Column("taken_at", sa.Text, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
)

artifact = sa.Table(
    "artifact",
    metadata,
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("flops", sa.BigInteger),
    sa.Column("parameters", sa.BigInteger),
    sa.Column("architecture", sa.Text),
)

campaign = sa.Table(
    "campaign",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("versions", sa.Text, nullable=False),
)

trial = sa.Table(
    "trial",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("campaign_id", sa.Text, sa.ForeignKey("campaign.id"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),  # in its campaign, from 0
    sa.Column("serial", sa.Text, nullable=False, index=True),
    sa.Column("artifact", sa.Text, sa.ForeignKey("artifact.sha256"), nullable=False),
    sa.Column("model_name", sa.Text, nullable=False),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("protocol", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.UniqueConstraint("campaign_id", "position"),
)

attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("trial_id", sa.Text, sa.ForeignKey("trial.id"), nullable=False, index=True),
    sa.Column("started_at", sa.Text, nullable=False),
    sa.Column("ended_at", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("error_kind", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("runner", sa.Text, nullable=False),
    sa.Column("agent_version", sa.Text, nullable=False),
    sa.Column("output_check", sa.Text, nullable=False),
    sa.Column("warnings", sa.Text, nullable=False),
)

launch = sa.Table(
    "launch",
    metadata,
    sa.Column("attempt_id", sa.Text, sa.ForeignKey("attempt.id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),  # in its attempt, from 0
    sa.Column("index", sa.Integer, nullable=False),
    sa.Column("ready", sa.Text, nullable=False),
    sa.Column("peak_rss_bytes", sa.BigInteger),
    sa.Column("stop", sa.Text, nullable=False),
)

block = sa.Table(
    "block",
    metadata,
    sa.Column("attempt_id", sa.Text, primary_key=True),
    sa.Column("launch", sa.Integer, primary_key=True, autoincrement=False),  # launch.position
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),  # in its launch, from 0
    sa.Column("warmup", sa.Boolean, nullable=False),
    sa.Column("wall_ns", sa.LargeBinary, nullable=False),
    sa.Column("cpu_ns", sa.LargeBinary, nullable=False),
    sa.Column("switches", sa.LargeBinary, nullable=False),
    sa.Column("conditions", sa.Text),
    sa.ForeignKeyConstraint(["attempt_id", "launch"], ["launch.attempt_id", "launch.position"]),
)

op_time = sa.Table(
    "op_time",
    metadata,
    sa.Column("attempt_id", sa.Text, primary_key=True),
    sa.Column("launch", sa.Integer, primary_key=True, autoincrement=False),  # launch.position
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),  # in its launch, from 0
    sa.Column("index", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("delegated", sa.Boolean, nullable=False),
    sa.Column("median_ns", sa.Double),  # NULL: not a number
    sa.Column("runs", sa.Integer, nullable=False),
    sa.ForeignKeyConstraint(["attempt_id", "launch"], ["launch.attempt_id", "launch.position"]),
)

sweep = sa.Table(
    "sweep",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("serial", sa.Text, nullable=False, index=True),
    sa.Column("taken_at", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)
