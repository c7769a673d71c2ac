-- The statement of the probes.

-- name: schema_version() :one
-- The newest migration, and the newest of those with which no older program can serve.
select coalesce(max(version), 0) as version, coalesce(max(version) filter (where breaks_older), 0) as breaking
  from schema_migrations;
