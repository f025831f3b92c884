"""First light: everything that one measurement leaves behind."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    setting = op.create_table(
        "setting",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_setting"),
    )
    # What anonymous names are hashed with: the same within this store for ever, and nobody else's guess.
    op.bulk_insert(setting, [{"name": "salt", "value": secrets.token_hex(32)}])
    op.create_table(
        "profile",
        sa.Column("serial", sa.Text, nullable=False),
        sa.Column("taken_at", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("serial", "taken_at", name="pk_profile"),
    )
    op.create_table(
        "artifact",
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("flops", sa.BigInteger),
        sa.Column("parameters", sa.BigInteger),
        sa.Column("architecture", sa.Text),
        sa.PrimaryKeyConstraint("sha256", name="pk_artifact"),
    )
    op.create_table(
        "campaign",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("versions", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_campaign"),
    )
    op.create_table(
        "trial",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("campaign_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("serial", sa.Text, nullable=False),
        sa.Column("artifact", sa.Text, nullable=False),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("protocol", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trial"),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name="fk_trial_campaign"),
        sa.ForeignKeyConstraint(["artifact"], ["artifact.sha256"], name="fk_trial_artifact"),
        sa.UniqueConstraint("campaign_id", "position", name="uq_trial_campaign_id_position"),
    )
    op.create_index("ix_trial_serial", "trial", ["serial"])
    op.create_table(
        "attempt",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("trial_id", sa.Text, nullable=False),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("ended_at", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("error_kind", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("runner", sa.Text, nullable=False),
        sa.Column("agent_version", sa.Text, nullable=False),
        sa.Column("output_check", sa.Text, nullable=False),
        sa.Column("warnings", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
        sa.ForeignKeyConstraint(["trial_id"], ["trial.id"], name="fk_attempt_trial"),
    )
    op.create_index("ix_attempt_trial_id", "attempt", ["trial_id"])
    op.create_table(
        "launch",
        sa.Column("attempt_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("ready", sa.Text, nullable=False),
        sa.Column("peak_rss_bytes", sa.BigInteger),
        sa.Column("stop", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", "position", name="pk_launch"),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name="fk_launch_attempt"),
    )
    op.create_table(
        "block",
        sa.Column("attempt_id", sa.Text, nullable=False),
        sa.Column("launch", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("warmup", sa.Boolean, nullable=False),
        sa.Column("wall_ns", sa.LargeBinary, nullable=False),
        sa.Column("cpu_ns", sa.LargeBinary, nullable=False),
        sa.Column("switches", sa.LargeBinary, nullable=False),
        sa.Column("conditions", sa.Text),
        sa.PrimaryKeyConstraint("attempt_id", "launch", "position", name="pk_block"),
        sa.ForeignKeyConstraint(
            ["attempt_id", "launch"], ["launch.attempt_id", "launch.position"], name="fk_block_launch"
        ),
    )
    op.create_table(
        "op_time",
        sa.Column("attempt_id", sa.Text, nullable=False),
        sa.Column("launch", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("delegated", sa.Boolean, nullable=False),
        sa.Column("median_ns", sa.Double),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", "launch", "position", name="pk_op_time"),
        sa.ForeignKeyConstraint(
            ["attempt_id", "launch"], ["launch.attempt_id", "launch.position"], name="fk_op_time_launch"
        ),
    )
