-- Reads, lists and refusals come in batches, and are kept as they come: one row for all entries of a kind that were written
-- together, an array a column. The index entries of a row are then shared by all entries in it.

-- Both tables take their ids from one sequence, in steps of 1,000: entry i of a batch, counted from 0, has the id of the batch
-- plus i, and one order holds for the whole trail.
alter table audit_entries alter column id set increment by 1000;

create table audit_batches (
    id           bigint primary key,
    -- Of all entries in the row. A refusal ends as 'forbidden', a read or a list as 'success'.
    action       text not null check (action in ('read', 'list', 'denied')),
    resource     text not null,
    -- Of one entry each, in the order in which they happened.
    at           timestamptz[] not null,
    actor_id     bigint[] not null,
    -- Null for a list.
    resource_id  bigint[] not null,
    -- The records that a list showed, each list as the text of an array, since the lists differ in length; null for other actions.
    resource_ids text[] not null,
    ip           inet[] not null,
    request_id   text[] not null,
    -- All records that are in the row, each once and no other: what the index knows.
    record_ids   bigint[] not null,
    -- No more entries than the step of the sequence, or ids would meet.
    check (
        cardinality(at) between 1 and 1000
        and cardinality(at) = all (array[cardinality(actor_id), cardinality(resource_id), cardinality(resource_ids),
                                         cardinality(ip), cardinality(request_id)]))
);

create index audit_batches_action_idx on audit_batches (action, id);
create index audit_batches_resource_idx on audit_batches (resource, id);
create index audit_batches_record_ids_idx on audit_batches using gin (record_ids);

-- Who has entries in which batch, written in the statement that writes the batch. An index of arrays would be smaller, but knows no
-- order: it would give all batches of a user before the newest could be told.
create table audit_batch_actors (
    actor_id bigint,
    batch_id bigint,
    primary key (actor_id, batch_id)
);

create trigger audit_batches_are_kept before update or delete on audit_batches
    for each row execute function refuse_audit_change();
create trigger audit_batches_are_not_truncated before truncate on audit_batches
    for each statement execute function refuse_audit_change();
create trigger audit_batch_actors_are_kept before update or delete on audit_batch_actors
    for each row execute function refuse_audit_change();
create trigger audit_batch_actors_are_not_truncated before truncate on audit_batch_actors
    for each statement execute function refuse_audit_change();

-- lz4 is several times as fast as the standard compression, where the server was built with it.
do $$
declare
    name text;
begin
    foreach name in array array['at', 'actor_id', 'resource_id', 'resource_ids', 'ip', 'request_id', 'record_ids'] loop
        execute format('alter table audit_batches alter column %I set compression lz4', name);
    end loop;
exception
    when feature_not_supported then
        raise warning 'lz4 is not available: the audit trail is compressed more slowly';
end
$$;

-- Reads do not come here any more, so that what is left is worth an index whatever its action.
drop index audit_entries_action_idx;
create index audit_entries_action_idx on audit_entries (action, id);

-- The whole trail, an entry a row, for people with psql. A page of it costs as much as all of it: the service asks the tables.
create view audit_trail as
select id, at, actor_id, action, resource, resource_id, resource_ids, outcome, ip, request_id, before
  from audit_entries
 union all
select batch.id + entry.place - 1, entry.at, entry.actor_id, batch.action, batch.resource, entry.resource_id,
       entry.resource_ids::bigint[], case batch.action when 'denied' then 'forbidden' else 'success' end, entry.ip,
       entry.request_id, null
  from audit_batches as batch,
       unnest(batch.at, batch.actor_id, batch.resource_id, batch.resource_ids, batch.ip, batch.request_id)
         with ordinality as entry (at, actor_id, resource_id, resource_ids, ip, request_id, place);
