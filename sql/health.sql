-- The statement of the probes.

-- name: schema_version() :one
select coalesce(max(version), 0) as version
  from schema_migrations;
