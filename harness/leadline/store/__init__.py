"""Where every attempt is kept: schema, migrations, reads and writes."""
