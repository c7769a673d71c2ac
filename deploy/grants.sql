-- The role that the service runs as: it reads and writes records, and can change neither the schema nor the audit trail.
--
--   psql "$OWNER_URL" -v ON_ERROR_STOP=1 --single-transaction -f deploy/grants.sql
--
-- In one transaction, so that a service that is running never misses a right.
--
-- Run it as the owner of the database after `DATABASE_URL=$OWNER_URL healthcare-backend migrate`, and again after each `migrate`. It
-- can be repeated. Then set a password (`\password healthcare_run`) and start the service with
-- DATABASE_URL=postgres://healthcare_run:…@…. From then on `migrate` is run as the owner, before the service is updated.

do $$
begin
    if not exists (select from pg_roles where rolname = 'healthcare_run') then
        create role healthcare_run login;
    end if;
    execute format('grant connect on database %I to healthcare_run', current_database());
    -- This role may not create tables, even if everybody may (before PostgreSQL 15), nor temporary ones.
    execute format('revoke create, temporary on database %I from public', current_database());
end
$$;

revoke create on schema public from public;
grant usage on schema public to healthcare_run;

-- Tables that are read and changed. The service deletes only expired rows and records that a user deletes.
grant select, insert, update on users, one_time_tokens, patient_grants to healthcare_run;
grant select, insert, update, delete on sessions, refresh_tokens, login_failures, idempotency_keys, totp_secrets, recovery_codes to healthcare_run;
grant select, insert, update, delete on patients, doctors, mappings, care_groups, care_group_members to healthcare_run;
-- Tables that are read and added to, never changed, but for the owner of a deleted record. PostgreSQL sets the ids and the times of changes and logins, so that nobody
-- can write an entry or a version into the past. A batch brings the times at which its reads happened.
revoke insert on audit_entries, audit_batches, record_versions from healthcare_run;
grant select on audit_entries, audit_batches, record_versions to healthcare_run;
grant insert (actor_id, action, resource, resource_id, resource_ids, version, outcome, ip, request_id) on audit_entries to healthcare_run;
grant insert (action, resource, at, actor_id, resource_id, resource_ids, ip, request_id, record_ids)
    on audit_batches to healthcare_run;
grant insert (resource, record_id, version, owner_id, patient_id, ended_by, actor_id, record, texts_here, texts_later)
    on record_versions to healthcare_run;
-- A transfer takes deleted records along. A trigger refuses another owner of any other version.
grant update (owner_id) on record_versions to healthcare_run;
grant select, insert on audit_batch_actors to healthcare_run;
-- The sequence of the ids of entries and batches.
grant usage on sequence audit_entries_id_seq to healthcare_run;
-- New patients are made several at a time, which take their ids first.
grant usage on sequence patients_id_seq to healthcare_run;
-- Read for the version of the schema, and the system of FHIR's identifiers.
grant select on schema_migrations, installation to healthcare_run;

-- Large objects belong to no table, so everybody who can connect can fill the disk with them. Only a superuser can revoke that
-- right.
do $$
declare
    writes regprocedure;
begin
    for writes in
        select oid::regprocedure
          from pg_proc
         where pronamespace = 'pg_catalog'::regnamespace
           and proname in ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open', 'lo_put', 'lo_truncate', 'lo_truncate64', 'lowrite')
           and has_function_privilege('public', oid, 'execute')
    loop
        if (select rolsuper from pg_roles where rolname = current_user) then
            execute format('revoke execute on function %s from public', writes);
        else
            raise warning 'as a superuser, run: revoke execute on function % from public', writes;
        end if;
    end loop;
end
$$;

-- The settings that the service otherwise makes on each connection. Behind a pooler in transaction mode (PgBouncer) it shares
-- connections, so the settings must belong to the role.
alter role healthcare_run set statement_timeout = '10s';
alter role healthcare_run set lock_timeout = '4s';
alter role healthcare_run set idle_in_transaction_session_timeout = '15s';
alter role healthcare_run set timezone = 'UTC';
