-- A program may meet a schema that is newer than it knows, while nodes are updated one by one. It serves unless a newer step says that
-- no older program can: such a step ends with `update schema_migrations set breaks_older = true where version = …`.

alter table schema_migrations add column breaks_older boolean not null default false;
