"""lab.toml, probing, enrolment, leases: which devices there are and what they are."""
