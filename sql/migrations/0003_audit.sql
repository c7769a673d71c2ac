-- The audit trail: who did what to which record, when, and from where. It only grows.

create table audit_entries (
    id           bigint generated always as identity primary key,
    at           timestamptz not null default now(),
    actor_id     bigint,
    action       text not null,
    resource     text not null,
    resource_id  bigint,
    -- The records that a list showed; null for every other action.
    resource_ids bigint[],
    outcome      text not null default 'success' check (outcome in ('success', 'failed', 'forbidden')),
    ip           inet,
    request_id   text,
    -- The record as it was before an update or a delete.
    before       jsonb
);

create index audit_entries_actor_id_idx on audit_entries (actor_id, id);
-- Reads and lists are most of the trail: looking for them walks the primary key, and their entries stay cheap to write.
create index audit_entries_action_idx on audit_entries (action, id) where action not in ('read', 'list');
create index audit_entries_resource_idx on audit_entries (resource, resource_id, id);
create index audit_entries_resource_ids_idx on audit_entries using gin (resource_ids) where resource_ids is not null;

create function refuse_audit_change() returns trigger language plpgsql as $$
begin
    raise exception 'audit entries are never changed or removed';
end
$$;

create trigger audit_entries_are_kept before update or delete on audit_entries
    for each row execute function refuse_audit_change();
create trigger audit_entries_are_not_truncated before truncate on audit_entries
    for each statement execute function refuse_audit_change();
