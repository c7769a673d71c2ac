-- Doctors are a directory that every user reads. An entry can be changed by its creator or an admin: `owner_id` is the creator
-- that must match, or null for an admin.

-- name: create(fields jsonb, actor_id bigint, session_id bigint, ip inet, request_id text) :one write
-- conflict doctors_license_number_key: A doctor with this license_number already exists
with created as (
    insert into doctors overriding user value
    select new.*
      from jsonb_populate_record(null::doctors, $1 || jsonb_build_object(
               'created_by', $2, 'version', 1, 'created_at', now(), 'updated_at', now())) as new
    returning *
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select acting($2, $3, false), 'create', 'doctor', id, $4, $5 from created
)
select *
  from created;

-- name: import(fields jsonb[], owner_id bigint, allow_duplicates boolean) :many write
-- conflict doctors_license_number_key: A doctor with the license_number of a line was created meanwhile: import the file again
-- New doctors from the lines of a file, and their audit entries, as if the owner had created them. Skips possible duplicates and
-- returns the numbers of their lines, with the doctor that was there before, or null for an earlier line of the same transaction.
-- A name is compared folded first, since that has an index, whose order keeps PostgreSQL on it, and then with its accents.
-- `taken`: duplicates are welcome, but this line has the licence number of another doctor.
with asked as materialized (
    select fields, number, folded(fields ->> 'name') as folded_name, caseless(fields ->> 'name') as name,
           caseless(fields ->> 'specialization') as specialization, fields ->> 'license_number' as license_number
      from unnest($1) with ordinality as line (fields, number)
), compared as materialized (
    select asked.*, known.id as known_id, known.created_at as known_since,
           case when asked.license_number is not null
                then known.id is not null or row_number() over (partition by asked.license_number order by number) > 1
                else not $3 and (known.id is not null
                     or row_number() over (partition by asked.name, asked.specialization order by number) > 1)
           end as repeats
      from asked
      left join lateral (
           (select id, created_at
              from doctors d
             where d.license_number = asked.license_number)
            union all
           (select id, created_at
              from doctors d
             where asked.license_number is null
               and not $3
               and folded(d.name) = asked.folded_name
               and caseless(d.name) = asked.name
               and caseless(d.specialization) = asked.specialization
             order by folded(d.name), id
             limit 1)) known on true
), created as (
    insert into doctors overriding user value
    select new.*
      from compared
     cross join lateral jsonb_populate_record(null::doctors, fields || jsonb_build_object(
               'created_by', $2, 'version', 1, 'created_at', now(), 'updated_at', now())) as new
     where not repeats
     order by number
    returning id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id)
    select $2, 'create', 'doctor', id from created
)
select number, case when known_since <> now() then known_id end as known_id, $3 as taken
  from compared
 where repeats
 order by number;

-- name: list(after_id bigint[], page_size bigint[]) :many batched
select q.number, d.*
  from unnest($1, $2) with ordinality as q (after_id, page_size, number)
 cross join lateral (
           select *
             from doctors
            where id > q.after_id
            order by id
            limit q.page_size) d
 order by q.number;

-- name: search(created_by bigint, sort text, after_id bigint, after_value text, page_size bigint, name_part text, specialization_part text, words text[]) :many planned
-- One page in any order with any filters; see `search` in patients.sql. What a filter finds by its trigrams is compared once
-- more with its own field; `coalesce` keeps the planner from counting that as a second condition.
select *
  from doctors
 where ($1 is null or created_by = $1)
   and ($6 is null or (searched(name, email, phone, license_number, specialization) like any_part($6) and coalesce(folded(name) like any_part($6), false)))
   and ($7 is null or (searched(name, email, phone, license_number, specialization) like any_part($7) and coalesce(folded(specialization) like any_part($7), false)))
   and ($8 is null
        or ((char_length($8[1]) < 3 or searched(name, email, phone, license_number, specialization) ~ word_pattern($8[1]))
            and coalesce(searched(name, email, phone, license_number, specialization) ~ all (array(select word_pattern(word) from unnest($8) as word)), false)))
   and case $2
       when 'name' then $4 is null or (folded(name), id) > (folded($4), $3)
       when '-created_at' then $4 is null or (created_at, id) < ($4::timestamptz, $3)
       when '-updated_at' then $4 is null or (updated_at, id) < ($4::timestamptz, $3)
       else id > $3
       end
 order by case when $2 = 'name' then folded(name) end,
          case when $2 = '-created_at' then created_at end desc,
          case when $2 = '-updated_at' then updated_at end desc,
          case when $2 in ('-created_at', '-updated_at') then id end desc, id
 limit $5;

-- name: count(created_by bigint, name_part text, specialization_part text, words text[]) :one planned
-- How many records there are on all pages. It reads every one of them, so it runs only on request.
select count(*) as total
  from doctors
 where ($1 is null or created_by = $1)
   and ($2 is null or (searched(name, email, phone, license_number, specialization) like any_part($2) and coalesce(folded(name) like any_part($2), false)))
   and ($3 is null or (searched(name, email, phone, license_number, specialization) like any_part($3) and coalesce(folded(specialization) like any_part($3), false)))
   and ($4 is null
        or ((char_length($4[1]) < 3 or searched(name, email, phone, license_number, specialization) ~ word_pattern($4[1]))
            and coalesce(searched(name, email, phone, license_number, specialization) ~ all (array(select word_pattern(word) from unnest($4) as word)), false)));

-- name: export(created_by bigint, after_id bigint, page_size bigint) :many planned
-- The next rows of a file of the doctors that one user entered, or, if `created_by` is null, of all.
select *
  from doctors
 where ($1 is null or created_by = any (array[$1]))
   and id > $2
 order by id
 limit $3;

-- name: find(id bigint[]) :opt batched
select q.number, d.*
  from unnest($1) with ordinality as q (doctor_id, number)
  join doctors d on d.id = q.doctor_id;

-- name: update(id bigint, owner_id bigint, fields jsonb, versions text[], actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- conflict doctors_license_number_key: A doctor with this license_number already exists
-- Changes the fields that are sent, and writes nothing if none of them differs. No row: no such doctor. `allowed` false: another
-- user's entry. `matches` false: the record is at none of `versions`.
with found as (
    select d as stored, d.created_by = coalesce($2, d.created_by) as allowed,
           $4 is null or d.version::text = any ($4) as matches, to_jsonb(d) - 'version' as before
      from doctors d
     where d.id = $1
       for no key update
), changed as (
    update doctors d
       set name = coalesce(new.name, d.name),
           specialization = coalesce(new.specialization, d.specialization),
           phone = case when $3 ? 'phone' then new.phone else d.phone end,
           email = case when $3 ? 'email' then new.email else d.email end,
           license_number = case when $3 ? 'license_number' then new.license_number else d.license_number end,
           years_of_experience = case when $3 ? 'years_of_experience' then new.years_of_experience else d.years_of_experience end,
           version = d.version + 1,
           updated_at = now()
      from found, jsonb_populate_record(null::doctors, $3) as new
     where d.id = (found.stored).id
       and found.allowed
       and found.matches
       and not found.before @> $3
    returning d.*
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, actor_id, record, texts_here, texts_later)
    select 'doctor', (stored).id, (stored).version, (stored).created_by, null, 'update', $5, text.*
      from changed, found, without_same_texts(before, $3) as text
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select acting($5, $6, $2 is null), 'update', 'doctor', id, version, $7, $8 from changed
)
select true as allowed, true as matches, changed.*
  from changed
 union all
select allowed, matches, (stored).*
  from found
 where not exists (select from changed);

-- name: lock(id bigint, owner_id bigint) :opt write
-- Runs first in the transaction of a delete: while the lock is held, nobody can assign the doctor, and `delete` sees every
-- mapping made before.
select id
  from doctors
 where id = $1
   and created_by = coalesce($2, created_by)
   for update;

-- name: delete(id bigint, owner_id bigint, versions text[], cascade boolean, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- conflict mappings_doctor_id_fkey: The doctor is still assigned to a patient
-- Runs after `lock`. Without `cascade`, the foreign key of a mapping refuses the delete; with it, the doctor's mappings are
-- deleted too.
with found as (
    select id, version, created_by, created_by = coalesce($2, created_by) as allowed,
           $3 is null or version::text = any ($3) as matches, to_jsonb(doctors) - 'version' as before
      from doctors
     where id = $1
), mapped as (
    select m.id
      from mappings m
      join found on m.doctor_id = found.id and found.allowed and found.matches
     where $4
     order by m.id
       for update of m
), unmapped as (
    delete from mappings m using mapped where m.id = mapped.id
    returning m.id, m.version, m.created_by, m.patient_id, to_jsonb(m) - 'version' as before
), deleted as (
    delete from doctors d using found
     where d.id = found.id
       and found.allowed
       and found.matches
    returning d.id
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, actor_id, record, texts_here, texts_later)
    select 'mapping', unmapped.id, version, created_by, patient_id, 'delete', $5, text.*
      from unmapped, without_same_texts(before, null) as text
     union all
    select 'doctor', deleted.id, version, created_by, null, 'delete', $5, text.*
      from deleted, found, without_same_texts(before, null) as text
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select acting($5, $6, $2 is null), 'delete', 'mapping', id, version + 1, $7, $8 from unmapped
     union all
    select acting($5, $6, $2 is null), 'delete', 'doctor', deleted.id, version + 1, $7, $8 from deleted, found
)
select allowed, matches
  from found;

-- name: undelete(id bigint, owner_id bigint, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- conflict doctors_pkey: The doctor is not deleted
-- conflict record_versions_pkey: The doctor is not deleted
-- conflict doctors_license_number_key: Another doctor has this license_number now
-- Brings a deleted doctor back, with the mappings that went in the same transaction and whose patients exist: they belong to the owners of
-- the patients. `was_deleted` false: the doctor is there. `allowed` false: it is another user's entry. No row: none that this owner had.
with gone as (
    select version, owner_id, ended_at, record
      from deletion_of('doctor', $1)
     where owner_id = coalesce($2, owner_id)
       and record is not null
), went as materialized (
    select m.record_id as id, m.version, m.record, m.patient_id
      from gone
      join record_versions m
        on m.resource = 'mapping' and m.ended_by = 'delete' and m.ended_at = gone.ended_at and (m.record -> 'doctor_id')::bigint = $1
), patient as (
    select id, created_by from patients where id in (select patient_id from went) order by id for key share
), restored as (
    insert into doctors overriding system value
    select new.*
      from gone
     cross join (select count(*) from patient) as locked
     cross join lateral jsonb_populate_record(null::doctors, record || jsonb_build_object(
               'version', gone.version + 2, 'updated_at', now())) as new
    returning *
), restored_mappings as (
    insert into mappings overriding system value
    select new.*
      from restored
     cross join went
      join patient on patient.id = went.patient_id
     cross join lateral jsonb_populate_record(null::mappings, record || jsonb_build_object(
               'created_by', patient.created_by, 'version', went.version + 2, 'updated_at', now())) as new
    returning id, version, created_by, patient_id
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, actor_id)
    select 'mapping', id, version - 1, created_by, patient_id, 'undelete', $3 from restored_mappings
     union all
    select 'doctor', id, version - 1, created_by, null, 'undelete', $3 from restored
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select acting($3, $4, $2 is null), 'undelete', 'mapping', id, version, $5, $6 from restored_mappings
     union all
    select acting($3, $4, $2 is null), 'undelete', 'doctor', id, version, $5, $6 from restored
)
select true as was_deleted, true as allowed, (select count(*) from went) as mappings,
       (select count(*) from restored_mappings) as mappings_restored, restored.*
  from restored
 union all
select false, created_by = coalesce($2, created_by), 0, 0, d.*
  from doctors d
 where id = $1;
