-- Doctors are a directory that every user reads. Who changes an entry is its creator or an admin: `owner_id` names the
-- creator that must match, null stands for an admin.

-- name: create(fields jsonb, actor_id bigint, ip inet, request_id text) :one write
with created as (
    insert into doctors (name, specialization, phone, email, license_number, years_of_experience, created_by)
    select new.name, new.specialization, new.phone, new.email, new.license_number, new.years_of_experience, $2
      from jsonb_populate_record(null::doctors, $1) as new
    returning id, name, specialization, phone, email, license_number, years_of_experience, created_by, version,
              created_at, updated_at
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select $2, 'create', 'doctor', id, $3, $4 from created
)
select id, name, specialization, phone, email, license_number, years_of_experience, created_by, version, created_at, updated_at
  from created;

-- name: list(after_id bigint, page_size bigint) :many batched
select id, name, specialization, phone, email, license_number, years_of_experience, created_by, version, created_at, updated_at
  from doctors
 where id > $1
 order by id
 limit $2;

-- name: search(created_by bigint, after_id bigint, page_size bigint, name_pattern text, specialization_pattern text) :many planned
select id, name, specialization, phone, email, license_number, years_of_experience, created_by, version, created_at, updated_at
  from doctors
 where ($1 is null or created_by = $1)
   and id > $2
   and ($4 is null or name ilike $4)
   and ($5 is null or specialization ilike $5)
 order by id
 limit $3;

-- name: search_by_name(after_id bigint, page_size bigint, name_pattern text, specialization_pattern text, after_name text) :many planned
-- The whole directory in the order of names, without case. The page begins behind the record with this name and id.
select id, name, specialization, phone, email, license_number, years_of_experience, created_by, version, created_at, updated_at
  from doctors
 where (lower(name), id) > (lower($5), $1)
   and ($3 is null or name ilike $3)
   and ($4 is null or specialization ilike $4)
 order by lower(name), id
 limit $2;

-- name: search_newest(before_id bigint, page_size bigint, name_pattern text, specialization_pattern text, before timestamptz) :many planned
-- The same, newest first. The page begins before the record of this time and id.
select id, name, specialization, phone, email, license_number, years_of_experience, created_by, version, created_at, updated_at
  from doctors
 where (created_at, id) < ($5, $1)
   and ($3 is null or name ilike $3)
   and ($4 is null or specialization ilike $4)
 order by created_at desc, id desc
 limit $2;

-- name: count(name_pattern text, specialization_pattern text) :one planned
-- How many there are on all pages. It reads every one of them: only on request.
select count(*) as total
  from doctors
 where ($1 is null or name ilike $1)
   and ($2 is null or specialization ilike $2);

-- name: find(id bigint) :opt batched
select id, name, specialization, phone, email, license_number, years_of_experience, created_by, version, created_at, updated_at
  from doctors
 where id = $1;

-- name: update(id bigint, owner_id bigint, fields jsonb, versions text[], actor_id bigint, ip inet, request_id text) :opt write
-- No row: no such doctor. `allowed` false: another user's entry. `changed` false otherwise: the record is at none of `versions`.
with found as (
    select id, created_by = coalesce($2, created_by) as allowed, $4 is null or version::text = any ($4) as matches,
           to_jsonb(doctors) - 'version' as before
      from doctors
     where id = $1
       for update
), changed as (
    update doctors d
       set (name, specialization, phone, email, license_number, years_of_experience) = (
               select new.name, new.specialization, new.phone, new.email, new.license_number, new.years_of_experience
                 from jsonb_populate_record(d, $3) as new),
           version = d.version + 1,
           updated_at = now()
      from found
     where d.id = found.id
       and found.allowed
       and found.matches
    returning d.id, d.name, d.specialization, d.phone, d.email, d.license_number, d.years_of_experience, d.created_by,
              d.version, d.created_at, d.updated_at
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id, before)
    select $5, 'update', 'doctor', changed.id, $6, $7, found.before from changed, found
)
select allowed, changed.id is not null as changed, changed.id, name, specialization, phone, email, license_number,
       years_of_experience, created_by, version, created_at, updated_at
  from found
  left join changed on true;

-- name: delete(id bigint, owner_id bigint, versions text[], cascade boolean, actor_id bigint, ip inet, request_id text) :opt write
-- Without `cascade` the foreign key of a mapping refuses; with it the doctor's mappings go as well.
with found as (
    select id, created_by = coalesce($2, created_by) as allowed, $3 is null or version::text = any ($3) as matches,
           to_jsonb(doctors) - 'version' as before
      from doctors
     where id = $1
       for update
), unmapped as (
    delete from mappings m using found
     where m.doctor_id = found.id
       and $4
       and found.allowed
       and found.matches
    returning m.id, to_jsonb(m) - 'version' as before
), deleted as (
    delete from doctors d using found
     where d.id = found.id
       and found.allowed
       and found.matches
    returning d.id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id, before)
    select $5, 'delete', 'mapping', unmapped.id, $6, $7, unmapped.before from unmapped
     union all
    select $5, 'delete', 'doctor', deleted.id, $6, $7, found.before from deleted, found
)
select allowed, exists (select from deleted) as changed
  from found;
