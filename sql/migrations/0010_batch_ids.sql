-- A batch gets its id by itself, like an entry: the role that writes it need not be allowed to choose one (deploy/grants.sql).

alter table audit_batches alter column id set default nextval('audit_entries_id_seq');
