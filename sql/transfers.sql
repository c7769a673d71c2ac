-- Transfers: a patient, or all patients of a user, belong to another user from now on. Their mappings go with them by their foreign key, and
-- so do those that were deleted: of a deleted record, the version that the deletion ended says who owns it.

-- name: lock(owners bigint[], patient_id bigint, to_id bigint) :opt write
-- Runs first in the transaction of a transfer: the next statement then sees what was done before.
with receiver as (
    select id from users where id = $3 for share
)
select p.id
  from (select count(*) as receivers from receiver) as locked
 cross join patients p
 where p.id = $2
   and ($1 is null or p.created_by = any ($1))
   for update of p;

-- name: patient(owners bigint[], patient_id bigint, to_id bigint, versions text[], actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Runs after `lock`. No row: no such patient. `refused` says why the patient cannot go to this user. `matches` false: the record is at none
-- of `versions`.
with found as (
    select p as stored, $4 is null or p.version::text = any ($4) as matches, to_jsonb(p) - 'version' as before,
           case when u.id is null then 'unknown' when u.disabled then 'disabled' when u.id = p.created_by then 'owner' end as refused
      from patients p
      left join users u on u.id = $3
     where p.id = $2
       and ($1 is null or p.created_by = any ($1))
), changed as (
    update patients p
       set created_by = $3, version = p.version + 1, updated_at = now()
      from found
     where p.id = (found.stored).id
       and found.matches
       and found.refused is null
    returning p.*
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, actor_id, record, texts_here, texts_later)
    select 'patient', (stored).id, (stored).version, (stored).created_by, (stored).id, 'update', $5, text.*
      from changed, found, without_same_texts(before, '{}') as text
), inherited as (
    update record_versions v
       set owner_id = $3
      from changed
     where v.resource = 'mapping'
       and v.patient_id = changed.id
       and v.ended_by = 'delete'
       and not exists (select
                         from record_versions later
                        where later.resource = 'mapping'
                          and later.record_id = v.record_id
                          and later.version = v.version + 1)
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select acting($5, $6, true), 'transfer', 'patient', id, version, $7, $8 from changed
)
select true as matches, null as refused, (found.stored).created_by as from_id, changed.*
  from changed, found
 union all
select matches, refused, (stored).created_by, (stored).*
  from found
 where not exists (select from changed);

-- name: lock_users(from_id bigint, to_id bigint) :many write
-- Runs first in each transaction of a user's transfer: of two transfers, the second finds what the first has left. No patient of these
-- users can be brought back meanwhile.
select id from users where id in ($1, $2) order by id for no key update;

-- name: some_of_user(owners bigint[], from_id bigint, to_id bigint, most bigint, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Runs after `lock_users`. At most so many patients of a user and so many of the user's deleted patients, which all go or none. No row: no
-- such user. `refused` says why they cannot go to this user. `found`: how many there were of either kind, whichever were more, when the
-- statement began. The next statement finds one that is deleted meanwhile.
with found as (
    select giver.id, case when receiver.id is null then 'unknown' when receiver.disabled then 'disabled'
                          when receiver.id = giver.id then 'owner' end as refused
      from users giver
      left join users receiver on receiver.id = $3
     where giver.id = $2
), living as (
    select p.id
      from found
      join patients p on p.created_by = found.id and ($1 is null or p.created_by = any ($1))
     where found.refused is null
     order by p.id
     limit $4
), gone as (
    select v.record_id as id, v.version
      from found
      join record_versions v on v.owner_id = found.id and v.resource = 'patient' and v.ended_by = 'delete'
     where found.refused is null
       and not exists (select
                         from record_versions later
                        where later.resource = 'patient'
                          and later.record_id = v.record_id
                          and later.version = v.version + 1)
     order by v.ended_at, v.record_id
     limit $4
), moving as (
    select p as stored, to_jsonb(p) - 'version' as before
      from living
      join patients p on p.id = living.id and p.created_by = $2
     order by p.id
       for update of p
), changed as (
    update patients p
       set created_by = $3, version = p.version + 1, updated_at = now()
      from moving
     where p.id = (moving.stored).id
    returning p.id, p.version
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, actor_id, record, texts_here, texts_later)
    select 'patient', changed.id, (stored).version, (stored).created_by, changed.id, 'update', $5, text.*
      from changed
      join moving on (moving.stored).id = changed.id
     cross join without_same_texts(before, '{}') as text
), inherited as (
    update record_versions v
       set owner_id = $3
      from (select 'patient' as resource, id, version from gone
             union all
            select 'mapping', m.record_id, m.version
              from (select id from changed union all select id from gone) as patient
              join record_versions m on m.resource = 'mapping' and m.patient_id = patient.id and m.ended_by = 'delete'
             where not exists (select
                                 from record_versions later
                                where later.resource = 'mapping'
                                  and later.record_id = m.record_id
                                  and later.version = m.version + 1)) as last
     where v.resource = last.resource
       and v.record_id = last.id
       and v.version = last.version
       and v.owner_id = $2
    returning v.resource, v.record_id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select actor.id, 'transfer', 'patient', moved.id, moved.version, $7, $8
      from (select id, version from changed
             union all
            select record_id, null from inherited where resource = 'patient') as moved,
           (select acting($5, $6, true) as id from (select count(*) as patients from moving) as locked) as actor
)
select refused, (select count(*) from changed) as patients, greatest((select count(*) from living), (select count(*) from gone)) as found
  from found;
