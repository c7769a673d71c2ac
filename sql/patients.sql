-- Patients belong to the user who registered them. Every statement carries the owners whose patients it may see; null means any
-- owner, which only the admin routes ask for.

-- name: create(fields jsonb[], actor_id bigint[], session_id bigint[], ip inet[], request_id text[]) :one write batched
-- New patients, each owned by its actor, and their audit entries. The only lock is `for key share` on the row of the actor, by the
-- foreign key.
with asked as materialized (
    select q.*, nextval('patients_id_seq') as id
      from unnest($1, $2, $3, $4, $5) with ordinality as q (fields, actor_id, session_id, ip, request_id, number)
), created as (
    insert into patients overriding system value
    select new.*
      from asked
     cross join lateral jsonb_populate_record(null::patients, asked.fields || jsonb_build_object(
               'id', asked.id, 'created_by', asked.actor_id, 'version', 1, 'created_at', now(), 'updated_at', now())) as new
    returning *
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select acting(actor_id, session_id, false), 'create', 'patient', id, ip, request_id from asked
)
select asked.number, created.*
  from created
  join asked on asked.id = created.id;

-- name: import(fields jsonb[], owner_id bigint, allow_duplicates boolean) :many write
-- New patients from the lines of a file, and their audit entries, as if the owner had created them. Skips possible duplicates and
-- returns the numbers of their lines, with the patient that was there before, or null for an earlier line of the same transaction.
-- A name is compared folded first, since that has an index, whose order keeps PostgreSQL on it, and then with its accents.
with asked as materialized (
    select fields, number, folded(fields ->> 'name') as folded_name, caseless(fields ->> 'name') as name,
           (fields ->> 'date_of_birth')::date as date_of_birth
      from unnest($1) with ordinality as line (fields, number)
), compared as materialized (
    select asked.*, known.id as known_id, known.created_at as known_since,
           not $3 and (known.id is not null
                       or row_number() over (partition by asked.name, asked.date_of_birth order by number) > 1) as repeats
      from asked
      left join lateral (
           select id, created_at
             from patients p
            where not $3
              and p.created_by = any (array[$2])
              and folded(p.name) = asked.folded_name
              and caseless(p.name) = asked.name
              and p.date_of_birth = asked.date_of_birth
            order by folded(p.name), id
            limit 1) known on true
), created as (
    insert into patients overriding user value
    select new.*
      from compared
     cross join lateral jsonb_populate_record(null::patients, fields || jsonb_build_object(
               'created_by', $2, 'version', 1, 'created_at', now(), 'updated_at', now())) as new
     where not repeats
     order by number
    returning id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id)
    select $2, 'create', 'patient', id from created
)
select number, case when known_since <> now() then known_id end as known_id, false as taken
  from compared
 where repeats
 order by number;

-- name: list(owner_id bigint[], after_id bigint[], page_size bigint[]) :many batched
-- One page of one owner's patients, read from patients_created_by_id_idx: page 1000 costs what page 1 costs. `= any` instead of
-- `=`, here and below: with `=` PostgreSQL would know that `created_by` is the same in all rows, and could read the primary key
-- in this order, on which it might pass a million rows of other owners before the first match. The pages come one after the other, each in
-- its order, as a nested loop makes them: to sort all their rows once more costs an eighth.
select q.number, p.*
  from unnest($1, $2, $3) with ordinality as q (owner_id, after_id, page_size, number)
 cross join lateral (
           select *
             from patients
            where created_by = any (array[q.owner_id])
              and id > q.after_id
            order by created_by, id
            limit q.page_size) p
 order by q.number;

-- name: list_of_several(owners text[], after_id bigint[], page_size bigint[]) :many batched
-- The same for several owners, and for a user with whom patients are shared: a page of each owner and of what is shared, and of these
-- the first.
select q.number, p.*
  from unnest($1, $2, $3) with ordinality as q (owners, after_id, page_size, number)
 cross join lateral (
           select page.*
             from unnest(q.owners::bigint[]) as owner (id)
            cross join lateral (
                      select *
                        from patients
                       where created_by = any (array[owner.id])
                         and id > q.after_id
                       order by created_by, id
                       limit q.page_size) page
            union all
           (select *
              from shared_patients(q.owners::bigint[])
             where id > q.after_id
             order by id
             limit q.page_size)
            order by id
            limit q.page_size) p
 order by q.number;

-- name: search(owners bigint[], sort text, after_id bigint, after_value text, page_size bigint, name_part text, gender text, date_of_birth date, words text[]) :many planned
-- One page in any order with any filters (`is_wanted`), which are null where they are absent. Planned for its values each time: a
-- condition or an order that is not asked for is gone before the plan is made, so that it costs nothing, and each order has its index.
-- Several owners have a page each, as has what is shared with the first of them, and the first of them all are the page. It begins behind
-- the record with `after_id` and, in the sorted field, `after_value`; null is the start.
select p.*
  from (select page.*
          from unnest(case when cardinality($1) <> 1 then $1 else array[null::bigint] end) as owner (id)
         cross join lateral (
                   select *
                     from patients
                    where case when $1 is null then true
                               when cardinality($1) = 1 then created_by = any ($1)
                               else created_by = any (array[owner.id]) end
                      and is_wanted(patients, $6, $7, $8, $9)
                      and case $2
                          when 'name' then $4 is null or (folded(name), id) > (folded($4), $3)
                          when '-created_at' then $4 is null or (created_at, id) < ($4::timestamptz, $3)
                          when '-updated_at' then $4 is null or (updated_at, id) < ($4::timestamptz, $3)
                          when 'date_of_birth' then $4 is null or (date_of_birth, id) > ($4::date, $3)
                          else id > $3
                          end
                    order by case when $1 is not null and $2 in ('-created_at', '-updated_at') then created_by end desc,
                             case when $1 is not null then created_by end,
                             case when $2 = 'name' then folded(name) end,
                             case when $2 = '-created_at' then created_at end desc,
                             case when $2 = '-updated_at' then updated_at end desc,
                             case when $2 = 'date_of_birth' then date_of_birth end,
                             case when $2 in ('-created_at', '-updated_at') then id end desc, id
                    limit $5) page
        union all
        select *
          from shared_patients($1) shared
         where is_wanted(shared, $6, $7, $8, $9)
           and case $2
               when 'name' then $4 is null or (folded(name), id) > (folded($4), $3)
               when '-created_at' then $4 is null or (created_at, id) < ($4::timestamptz, $3)
               when '-updated_at' then $4 is null or (updated_at, id) < ($4::timestamptz, $3)
               when 'date_of_birth' then $4 is null or (date_of_birth, id) > ($4::date, $3)
               else id > $3
               end) p
 order by case when $2 = 'name' then folded(name) end,
          case when $2 = '-created_at' then created_at end desc,
          case when $2 = '-updated_at' then updated_at end desc,
          case when $2 = 'date_of_birth' then date_of_birth end,
          case when $2 in ('-created_at', '-updated_at') then p.id end desc, p.id
 limit $5;

-- name: count(owners bigint[], name_part text, gender text, date_of_birth date, words text[]) :one planned
-- How many records there are on all pages. It reads every one of them, so it runs only on request.
select (select count(*) from patients where ($1 is null or created_by = any ($1)) and is_wanted(patients, $2, $3, $4, $5))
       + (select count(*) from shared_patients($1) shared where is_wanted(shared, $2, $3, $4, $5)) as total;

-- name: export(created_by bigint, after_id bigint, page_size bigint) :many planned
-- The next rows of a file of one user's patients, or, if `created_by` is null, of all.
select *
  from patients
 where ($1 is null or created_by = any (array[$1]))
   and id > $2
 order by id
 limit $3;

-- name: find(owner_id bigint[], id bigint[]) :opt batched
select q.number, p.*
  from unnest($1, $2) with ordinality as q (owner_id, patient_id, number)
  join patients p on p.id = q.patient_id and p.created_by = any (array[q.owner_id]);

-- name: find_granted(owners text[], id bigint[]) :opt batched
-- The same for a user in care groups, or to whom a patient of somebody else is granted, and for an admin.
select q.number, p.*, g.emergency
  from unnest($1, $2) with ordinality as q (owners, patient_id, number)
  join patients p on p.id = q.patient_id
  left join live_grant(q.owners::bigint[], p.created_by, p.id) as g on true
 where q.owners is null
    or p.created_by = any (q.owners::bigint[])
    or g.kind is not null;

-- name: update(owners bigint[], id bigint, fields jsonb, versions text[], actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Changes the fields that are sent, and writes nothing if none of them differs. No row: no such patient of these owners, and none that is
-- granted. `allowed` false: what is granted is not a change. `matches` false: the record is at none of `versions`.
with found as (
    select p as stored, $4 is null or p.version::text = any ($4) as matches, coalesce(g.can_change, true) as allowed,
           g.emergency, to_jsonb(p) - 'version' as before
      from patients p
      left join live_grant($1, p.created_by, p.id) as g on true
     where p.id = $2
       and ($1 is null or p.created_by = any ($1) or g.kind is not null)
       for no key update of p
), changed as (
    -- A field that was not sent keeps its stored value, which PostgreSQL then need not write again.
    update patients p
       set name = coalesce(new.name, p.name),
           date_of_birth = coalesce(new.date_of_birth, p.date_of_birth),
           gender = coalesce(new.gender, p.gender),
           phone = case when $3 ? 'phone' then new.phone else p.phone end,
           email = case when $3 ? 'email' then new.email else p.email end,
           address = case when $3 ? 'address' then new.address else p.address end,
           medical_history = case when $3 ? 'medical_history' then new.medical_history else p.medical_history end,
           version = p.version + 1,
           updated_at = now()
      from found, jsonb_populate_record(null::patients, $3) as new
     where p.id = (found.stored).id
       and found.allowed
       and found.matches
       and not found.before @> $3
    returning p.*
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, actor_id, record, texts_here, texts_later)
    select 'patient', (stored).id, (stored).version, (stored).created_by, (stored).id, 'update', $5, text.*
      from changed, found, without_same_texts(before, $3) as text
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select acting_for($5, $6, $1, created_by, id), 'update', 'patient', id, version, $7, $8 from changed
)
select true as matches, true as allowed, null::jsonb as emergency, changed.*
  from changed
 union all
select matches, allowed, emergency, (stored).*
  from found
 where not exists (select from changed);

-- name: lock(owners bigint[], id bigint) :opt write
-- Runs first in the transaction of a delete: while the lock is held, no mapping can be added, and `delete` sees every mapping
-- made before.
select id
  from patients
 where id = $2
   and ($1 is null or created_by = any ($1))
   for update;

-- name: delete(owners bigint[], id bigint, versions text[], actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Runs after `lock`: removes the patient and the patient's mappings, and ends what was granted. `allowed` false: somebody to whom the
-- patient is granted does not delete it.
with found as (
    select p.id, p.version, p.created_by, g.kind is null as allowed, g.emergency,
           $3 is null or p.version::text = any ($3) as matches, to_jsonb(p) - 'version' as before
      from patients p
      left join live_grant($1, p.created_by, p.id) as g on true
     where p.id = $2
       and ($1 is null or p.created_by = any ($1) or g.kind is not null)
), mapped as (
    select m.id
      from mappings m
      join found on m.patient_id = found.id and found.allowed and found.matches
     order by m.id
       for update of m
), unmapped as (
    delete from mappings m using mapped where m.id = mapped.id
    returning m.id, m.version, m.created_by, to_jsonb(m) - 'version' as before
), deleted as (
    delete from patients p using found
     where p.id = found.id
       and found.allowed
       and found.matches
    returning p.id
), ended as (
    update patient_grants g set ended_at = now() from deleted where g.patient_id = deleted.id and g.ended_at is null
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, actor_id, record, texts_here, texts_later)
    select 'mapping', unmapped.id, version, created_by, deleted.id, 'delete', $4, text.*
      from unmapped, deleted, without_same_texts(before, null) as text
     union all
    select 'patient', deleted.id, version, created_by, deleted.id, 'delete', $4, text.*
      from deleted, found, without_same_texts(before, null) as text
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select acting_for($4, $5, $1, created_by, null), 'delete', 'mapping', id, version + 1, $6, $7 from unmapped
     union all
    select acting_for($4, $5, $1, created_by, null), 'delete', 'patient', deleted.id, version + 1, $6, $7 from deleted, found
)
select matches, allowed, emergency
  from found;

-- name: undelete(owners bigint[], id bigint, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- conflict patients_pkey: The patient is not deleted
-- conflict record_versions_pkey: The patient is not deleted
-- Brings a deleted patient back, with the mappings that went in the same transaction and whose doctors exist. While the patient is away
-- nobody can make a mapping, so that their pairs are free. `was_deleted` false: the patient is there. `allowed` false: and is only granted.
-- No row: none that these owners had. Of two at once one makes the row, and the constraint refuses the other. The owner is locked, so that
-- a transfer of all the owner's patients comes before or after.
with owner as (
    select u.id from deletion_of('patient', $2) as last join users u on u.id = last.owner_id for share of u
), gone as (
    select v.version, v.owner_id, v.ended_at, v.record
      from deletion_of('patient', $2) as last
     cross join (select count(*) from owner) as locked
      join record_versions v on v.resource = 'patient' and v.record_id = $2 and v.version = last.version
     where ($1 is null or v.owner_id = any ($1))
       and v.record is not null
       for no key update of v
), went as materialized (
    select m.record_id as id, m.version, m.record, (m.record -> 'doctor_id')::bigint as doctor_id
      from gone
      join record_versions m
        on m.resource = 'mapping' and m.ended_by = 'delete' and m.ended_at = gone.ended_at and m.patient_id = $2 and m.record is not null
), doctor as (
    select id from doctors where id in (select doctor_id from went) order by id for key share
), restored as (
    insert into patients overriding system value
    select new.*
      from gone
     cross join (select count(*) from doctor) as locked
     cross join lateral jsonb_populate_record(null::patients, record || jsonb_build_object(
               'created_by', gone.owner_id, 'version', gone.version + 2, 'updated_at', now())) as new
    returning *
), restored_mappings as (
    insert into mappings overriding system value
    select new.*
      from restored
     cross join went
      join doctor on doctor.id = went.doctor_id
     cross join lateral jsonb_populate_record(null::mappings, record || jsonb_build_object(
               'created_by', restored.created_by, 'version', went.version + 2, 'updated_at', now())) as new
    returning id, version
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, actor_id)
    select 'mapping', m.id, m.version - 1, created_by, restored.id, 'undelete', $3 from restored_mappings m, restored
     union all
    select 'patient', id, version - 1, created_by, id, 'undelete', $3 from restored
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select acting_for($3, $4, $1, created_by, null), 'undelete', 'mapping', m.id, m.version, $5, $6 from restored_mappings m, restored
     union all
    select acting_for($3, $4, $1, created_by, null), 'undelete', 'patient', id, version, $5, $6 from restored
)
select true as was_deleted, true as allowed, null::jsonb as emergency, (select count(*) from went) as mappings,
       (select count(*) from restored_mappings) as mappings_restored, restored.*
  from restored
 union all
select false, g.kind is null, g.emergency, 0, 0, p.*
  from patients p
  left join live_grant($1, p.created_by, p.id) as g on true
 where p.id = $2
   and ($1 is null or p.created_by = any ($1) or g.kind is not null);
