-- The role that the service runs as: it reads and writes records, and can change neither the schema nor the audit trail.
--
--   psql "$OWNER_URL" -v ON_ERROR_STOP=1 -f deploy/grants.sql
--
-- Run it as the owner of the database, after `DATABASE_URL=$OWNER_URL healthcare-backend migrate`, and again after a `migrate`
-- that made tables: it may be repeated. Then set a password (`\password healthcare_run`) and start the service with
-- DATABASE_URL=postgres://healthcare_run:…@…. From then on `migrate` is run as the owner, before the service is updated.

do $$
begin
    if not exists (select from pg_roles where rolname = 'healthcare_run') then
        create role healthcare_run login;
    end if;
    execute format('grant connect on database %I to healthcare_run', current_database());
    -- Where everybody may make tables (before PostgreSQL 15), or temporary ones, this role may not.
    execute format('revoke create, temporary on database %I from public', current_database());
end
$$;

revoke create on schema public from public;
grant usage on schema public to healthcare_run;

-- Changed and read; only what expires is removed by the service, and what a user deletes.
grant select, insert, update on users to healthcare_run;
grant select, insert, update, delete on sessions, refresh_tokens, login_failures, idempotency_keys to healthcare_run;
grant select, insert, update, delete on patients, doctors, mappings to healthcare_run;
-- Written and read, never changed.
grant select, insert on audit_entries, audit_batches, audit_batch_actors to healthcare_run;
-- Where entries and batches get their ids.
grant usage on sequence audit_entries_id_seq to healthcare_run;
-- Asked for the version of the schema.
grant select on schema_migrations to healthcare_run;

-- What the service sets on each connection of its own. Behind a pooler in transaction mode (PgBouncer) connections are not its
-- own, and these are the only place for them.
alter role healthcare_run set statement_timeout = '10s';
alter role healthcare_run set lock_timeout = '5s';
alter role healthcare_run set idle_in_transaction_session_timeout = '15s';
alter role healthcare_run set timezone = 'UTC';
