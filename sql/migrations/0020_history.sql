-- History: each version that a change ends is kept as it was. The versions take over what the audit trail kept of changed records, so that
-- there is one copy of it.

create table record_versions (
    resource    text not null check (resource in ('patient', 'doctor', 'mapping', 'user', 'care_group')),
    record_id   bigint not null,
    version     bigint not null,
    -- Who owned the record then. A user owns itself, and nobody owns a care group.
    owner_id    bigint,
    -- Of a patient its id, of a mapping the id of its patient.
    patient_id  bigint,
    ended_at    timestamptz not null default now(),
    -- What ended the version. The version that an undelete ends is that of a record that did not exist.
    ended_by    text not null check (ended_by in ('update', 'delete', 'undelete')),
    -- Who ended it; null if nobody was logged in.
    actor_id    bigint,
    -- The record as it was, without its version. Null if it did not exist, or was erased.
    record      jsonb,
    -- A text longer than 1 KiB is kept once for as long as it stays the same, by the last version that has it. `texts_here` names the long
    -- texts in this `record`. Those in `texts_later` are in the next version that names them in its `texts_here`, or else in the record that
    -- there is now.
    texts_here  text[],
    texts_later text[],
    primary key (resource, record_id, version)
);

-- Deleted records, of one owner and of all.
create index record_versions_deleted_idx on record_versions (resource, owner_id, ended_at, record_id) where ended_by = 'delete';
create index record_versions_all_deleted_idx on record_versions (resource, ended_at, record_id) where ended_by = 'delete';
create index record_versions_texts_idx on record_versions (resource, record_id, version) where texts_here is not null;

create function refuse_version_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        old.record := null;
        if new is not distinct from old then
            return new;
        end if;
    end if;
    raise exception 'versions are never changed or removed; only their record can be erased';
end
$$;

create trigger record_versions_are_kept before update or delete on record_versions
    for each row execute function refuse_version_change();
create trigger record_versions_are_not_truncated before truncate on record_versions
    for each statement execute function refuse_version_change();

-- What a version keeps of a record that a change replaces: all but the long texts that the fields of the change leave as they are. Without
-- fields, all of it. The record must be one that was just made, whose size is that of its texts.
create function without_same_texts(whole jsonb, fields jsonb)
    returns table (record jsonb, texts_here text[], texts_later text[]) language sql immutable parallel safe rows 1
begin atomic
    select case when later is null then whole else whole - later end, here, later
      from (select array_agg(key) filter (where is_replaced) as here, array_agg(key) filter (where not is_replaced) as later
              from (select key, fields is null or coalesce(value <> fields -> key, false) as is_replaced
                      from jsonb_each(whole)
                     where pg_column_size(whole) > 1024
                       and octet_length(value::text) > 1024) as long) as names;
end;

-- A user as versions keep it: without the password.
create function account(users) returns jsonb language sql stable parallel safe return
    to_jsonb($1) - 'version' - 'password_hash';

-- What the trail kept so far. The entries of one record are numbered in their order; two that were written together, with the same record,
-- are about one version. The last of them ended the version before the present one. If there is no record any more, the first ended version 1.
alter table audit_entries add column version bigint;

create unlogged table moved as
with entries as (
    select id, resource, resource_id, before,
           (at, before) is distinct from (lag(at) over record, lag(before) over record) as is_next
      from audit_entries
     where before is not null
    window record as (partition by resource, resource_id order by id)
), placed as (
    select id, resource, resource_id, count(*) filter (where is_next) over (partition by resource, resource_id order by id) as place
      from entries
), present as (
    select 'patient' as resource, id, version from patients
     union all
    select 'doctor', id, version from doctors
     union all
    select 'mapping', id, version from mappings
     union all
    select 'user', id, version from users
     union all
    select 'care_group', id, version from care_groups
)
select placed.id, placed.resource, resource_id as record_id,
       place + coalesce(present.version - 1 - max(place) over (partition by placed.resource, resource_id), 0) as version
  from placed
  left join present on present.resource = placed.resource and present.id = resource_id;

-- An update that left a long text as it was did not repeat it. `|| '{}'` unpacks a stored record, whose size says nothing about its texts.
insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_at, ended_by, actor_id, record, texts_here, texts_later)
select distinct on (moved.resource, record_id, moved.version)
       moved.resource, record_id, moved.version, case moved.resource when 'user' then record_id else (before ->> 'created_by')::bigint end,
       case moved.resource when 'patient' then record_id else (before ->> 'patient_id')::bigint end, at,
       case action when 'delete' then 'delete' else 'update' end, actor_id, before, long.texts_here, nullif(array(
           select name
             from unnest(case moved.resource when 'patient' then array['address', 'medical_history']
                                             when 'mapping' then array['notes'] end) as name
            where not before ? name), '{}')
  from moved
  join audit_entries using (id)
 cross join lateral without_same_texts(before || '{}', null) as long
 order by moved.resource, record_id, moved.version, id;

do $$
begin
    if (select count(*) from audit_entries where before is not null)
       <> (select count(*)
             from moved
             join audit_entries entry using (id)
             join record_versions version on (version.resource, version.record_id, version.version) = (moved.resource, moved.record_id, moved.version)
            where version.record = entry.before) then
        raise exception 'not every record of the audit trail has become a version: nothing was changed';
    end if;
end
$$;

alter table audit_entries disable trigger audit_entries_are_kept;
update audit_entries set version = moved.version + 1, before = null from moved where moved.id = audit_entries.id;
alter table audit_entries enable trigger audit_entries_are_kept;
drop table moved;

drop view audit_trail;
alter table audit_entries drop column before;

-- The whole trail, an entry a row, for people with psql. A page of it costs as much as all of it: the service asks the tables. A create
-- makes version 1, which its entry does not repeat. `before` is the record that a change replaced.
create view audit_trail as
select id, at, entry.actor_id, action, entry.resource, resource_id, resource_ids,
       case action when 'create' then 1 else entry.version end as version, outcome, ip, request_id, was.record as before
  from audit_entries as entry
  left join record_versions as was on (was.resource, was.record_id, was.version) = (entry.resource, entry.resource_id, entry.version - 1)
 union all
select batch.id + entry.place - 1, entry.at, entry.actor_id, batch.action, batch.resource, entry.resource_id,
       entry.resource_ids::bigint[], null, case batch.action when 'denied' then 'forbidden' else 'success' end, entry.ip,
       entry.request_id, null
  from audit_batches as batch,
       unnest(batch.at, batch.actor_id, batch.resource_id, batch.resource_ids, batch.ip, batch.request_id)
         with ordinality as entry (at, actor_id, resource_id, resource_ids, ip, request_id, place);
