-- Mappings say which doctors care for which patient. They belong to the owner of the patient. Null owners mean any owner,
-- which only the admin routes ask for. A mapping shows parts of its patient and doctor, so its version is made from all three.

-- name: create(owners bigint[], fields jsonb, actor_id bigint, session_id bigint, ip inet, request_id text) :one write
-- conflict mappings_patient_id_doctor_id_key: This doctor is already assigned to this patient
-- Always one row: which of the two were found, and the mapping if both were. The doctor is looked up only if the patient was
-- found and may be changed (`allowed`). If the pair exists already, the unique constraint refuses.
with patient as (
    select p.id, p.name, p.version, p.created_by, coalesce(g.can_change, true) as allowed, g.emergency
      from patients p
      left join live_grant($1, p.created_by, p.id) as g on true
     where p.id = ($2 ->> 'patient_id')::bigint
       and ($1 is null or p.created_by = any ($1) or g.kind is not null)
       for key share of p
), doctor as (
    select d.id, d.name, d.specialization, d.phone, d.email, d.version
      from patient
      join doctors d on d.id = ($2 ->> 'doctor_id')::bigint
     where patient.allowed
       for key share of d
), created as (
    insert into mappings overriding user value
    select new.*
      from patient, doctor
     cross join lateral jsonb_populate_record(null::mappings, $2 || jsonb_build_object(
               'created_by', patient.created_by, 'version', 1, 'assigned_at', now(), 'updated_at', now())) as new
    returning *
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select acting_for($3, $4, $1, created_by, patient_id), 'create', 'mapping', id, $5, $6 from created
)
select patient.id is not null as patient_found, patient.allowed, patient.emergency,
       doctor.id is not null as doctor_found, created.*,
       created.version || '.' || patient.version || '.' || doctor.version as versions,
       patient.name as patient_name, doctor.name as doctor_name, doctor.specialization as doctor_specialization,
       doctor.phone as doctor_phone, doctor.email as doctor_email
  from (select) as always
  left join patient on true
  left join doctor on true
  left join created on true;

-- name: list(owner_id bigint[], after_id bigint[], page_size bigint[]) :many batched
-- `= any` keeps PostgreSQL on mappings_created_by_id_idx; see patients.sql.
select q.number, m.*, m.version || '.' || p.version || '.' || d.version as versions,
       p.name as patient_name, d.name as doctor_name, d.specialization as doctor_specialization,
       d.phone as doctor_phone, d.email as doctor_email
  from unnest($1, $2, $3) with ordinality as q (owner_id, after_id, page_size, number)
 cross join lateral (
           select *
             from mappings
            where created_by = any (array[q.owner_id])
              and id > q.after_id
            order by created_by, id
            limit q.page_size) m
  join patients p on p.id = m.patient_id
  join doctors d on d.id = m.doctor_id
 order by q.number, m.id;

-- name: list_of_several(owners text[], after_id bigint[], page_size bigint[]) :many batched
-- The same for several owners, and for a user with whom patients are shared: a page of each owner and of what is shared, and of these
-- the first.
select q.number, m.*, m.version || '.' || p.version || '.' || d.version as versions,
       p.name as patient_name, d.name as doctor_name, d.specialization as doctor_specialization,
       d.phone as doctor_phone, d.email as doctor_email
  from unnest($1, $2, $3) with ordinality as q (owners, after_id, page_size, number)
 cross join lateral (
           select page.*
             from unnest(q.owners::bigint[]) as owner (id)
            cross join lateral (
                      select *
                        from mappings
                       where created_by = any (array[owner.id])
                         and id > q.after_id
                       order by created_by, id
                       limit q.page_size) page
            union all
           (select m.*
              from shared_patients(q.owners::bigint[]) shared
              join mappings m on m.patient_id = shared.id
             where m.id > q.after_id
             order by m.id
             limit q.page_size)
            order by id
            limit q.page_size) m
  join patients p on p.id = m.patient_id
  join doctors d on d.id = m.doctor_id
 order by q.number, m.id;

-- name: search(owners bigint[], after_id bigint, page_size bigint, patient_id bigint, doctor_id bigint) :many planned
-- A mapping of the owners is found by one branch, and one of a patient who is shared with the first of them by the other.
select m.*, m.version || '.' || p.version || '.' || d.version as versions,
       p.name as patient_name, d.name as doctor_name, d.specialization as doctor_specialization,
       d.phone as doctor_phone, d.email as doctor_email
  from ((select *
           from mappings
          where ($1 is null or created_by = any ($1))
            and id > $2
            and ($4 is null or patient_id = $4)
            and ($5 is null or doctor_id = $5)
          order by id
          limit $3)
        union all
        (select m.*
           from shared_patients($1) shared
           join mappings m on m.patient_id = shared.id
          where m.id > $2
            and ($4 is null or m.patient_id = $4)
            and ($5 is null or m.doctor_id = $5)
          order by m.id
          limit $3)) m
  join patients p on p.id = m.patient_id
  join doctors d on d.id = m.doctor_id
 order by m.id
 limit $3;

-- name: list_of_patient(owners text[], patient_id bigint[], after_id bigint[], page_size bigint[]) :many batched
-- No row: no such patient of these owners, and none that is granted. One row with a null id: a patient without doctors.
select q.number, m.*, m.version || '.' || p.version || '.' || d.version as versions,
       p.name as patient_name, d.name as doctor_name, d.specialization as doctor_specialization,
       d.phone as doctor_phone, d.email as doctor_email, g.emergency
  from unnest($1, $2, $3, $4) with ordinality as q (owners, patient_id, after_id, page_size, number)
  join patients p on p.id = q.patient_id
  left join live_grant(q.owners::bigint[], p.created_by, p.id) as g on true
  left join lateral (
           select *
             from mappings
            where patient_id = p.id
              and (patient_id, id) > (p.id, q.after_id)
            order by patient_id, id
            limit q.page_size) m on true
  left join doctors d on d.id = m.doctor_id
 where p.created_by = any (q.owners::bigint[])
    or g.kind is not null
 order by q.number, m.id;

-- name: find(owners text[], id bigint[], patient_id bigint[]) :opt batched
-- `patient_id` is the one in the path; null if the path has none. One row with a null id: that patient is seen, and has no such mapping.
select q.number, m.*, m.version || '.' || p.version || '.' || d.version as versions,
       p.name as patient_name, d.name as doctor_name, d.specialization as doctor_specialization,
       d.phone as doctor_phone, d.email as doctor_email, g.emergency
  from unnest($1, $2, $3) with ordinality as q (owners, mapping_id, patient_id, number)
  left join mappings m on m.id = q.mapping_id and m.patient_id = coalesce(q.patient_id, m.patient_id)
  join patients p on p.id = coalesce(m.patient_id, q.patient_id)
  left join live_grant(q.owners::bigint[], p.created_by, p.id) as g on true
  left join doctors d on d.id = m.doctor_id
 where q.owners is null
    or p.created_by = any (q.owners::bigint[])
    or g.kind is not null;

-- name: lock(owners bigint[], id bigint, patient_id bigint, doctor_id bigint) :opt write
-- Runs first in the transaction of an update: locks the new patient and the new doctor of the mapping, if they change, and then
-- the mapping itself.
with patient as (
    select p.id
      from patients p
      left join live_grant($1, p.created_by, p.id) as g on true
     where p.id = $3
       and ($1 is null or p.created_by = any ($1) or g.can_change)
       for key share of p
), doctor as (
    select d.id from (select) as always left join patient on true join doctors d on d.id = $4 for key share of d
)
select m.id, patient.id as patient_id, doctor.id as doctor_id
  from mappings m
  left join live_grant($1, m.created_by, m.patient_id) as g on true
  left join patient on true
  left join doctor on true
 where m.id = $2
   and ($1 is null or m.created_by = any ($1) or g.can_change)
   for no key update of m;

-- name: update(owners bigint[], id bigint, fields jsonb, versions text[], actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- conflict mappings_patient_id_doctor_id_key: This doctor is already assigned to this patient
-- Runs after `lock`: changes the fields that are sent, and writes nothing if none of them differs. No row: no such mapping of
-- these owners, and none of a patient who is granted. Otherwise the row says which of the new patient and doctor were found, and whether
-- both patients may be changed (`allowed`). `matches` is false if the record is at none of `versions`.
with new as (
    select *
      from jsonb_populate_record(null::mappings, $3)
), found as (
    select m as stored, $4 is null or m.version || '.' || p.version || '.' || d.version = any ($4) as matches,
           coalesce(g.can_change, true) as allowed, g.emergency,
           to_jsonb(m) - 'version' as before
      from mappings m
      join patients p on p.id = m.patient_id
      join doctors d on d.id = m.doctor_id
      left join live_grant($1, m.created_by, m.patient_id) as g on true
     where m.id = $2
       and ($1 is null or m.created_by = any ($1) or g.kind is not null)
), patient as (
    select p.id, p.name, p.version, p.created_by, coalesce(g.can_change, true) as allowed, g.emergency
      from new
     cross join found
      join patients p on p.id = coalesce(new.patient_id, (found.stored).patient_id)
      left join live_grant($1, p.created_by, p.id) as g on true
     where $1 is null
        or p.created_by = any ($1)
        or g.kind is not null
), doctor as (
    select d.id, d.name, d.specialization, d.phone, d.email, d.version
      from new
     cross join found
      join doctors d on d.id = coalesce(new.doctor_id, (found.stored).doctor_id)
), changed as (
    update mappings m
       set patient_id = patient.id,
           created_by = patient.created_by,
           doctor_id = doctor.id,
           notes = case when $3 ? 'notes' then new.notes else m.notes end,
           version = m.version + 1,
           updated_at = now()
      from new, found, patient, doctor
     where m.id = (found.stored).id
       and found.allowed
       and patient.allowed
       and found.matches
       and not found.before @> $3
    returning m.*
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, actor_id, record, texts_here, texts_later)
    select 'mapping', (stored).id, (stored).version, (stored).created_by, (stored).patient_id, 'update', $5, text.*
      from changed, found, without_same_texts(before, $3) as text
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select acting_for($5, $6, $1, changed.created_by, changed.patient_id), 'update', 'mapping', id, version, $7, $8
      from changed, found
     where acting_for($5, $6, $1, (stored).created_by, (stored).patient_id) = $5
), record as (
    select true as matches, changed.*
      from changed
     union all
    select matches, (stored).*
      from found
     where not exists (select from changed)
)
select patient.id is not null as patient_found, found.allowed and coalesce(patient.allowed, true) as allowed,
       coalesce(found.emergency, patient.emergency) as emergency, doctor.id is not null as doctor_found, record.*,
       record.version || '.' || patient.version || '.' || doctor.version as versions,
       patient.name as patient_name, doctor.name as doctor_name, doctor.specialization as doctor_specialization,
       doctor.phone as doctor_phone, doctor.email as doctor_email
  from record
 cross join found
  left join patient on true
  left join doctor on true;

-- name: delete(owners bigint[], id bigint, versions text[], actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- No row: no such mapping of these owners, and none of a patient who is granted. `allowed` false: what is granted is not a change. `matches`
-- false: the record is at none of `versions`.
with found as (
    select m.id, m.version, m.created_by, m.patient_id, to_jsonb(m) - 'version' as before, coalesce(g.can_change, true) as allowed, g.emergency,
           $3 is null or m.version || '.' || p.version || '.' || d.version = any ($3) as matches
      from mappings m
      join patients p on p.id = m.patient_id
      join doctors d on d.id = m.doctor_id
      left join live_grant($1, m.created_by, m.patient_id) as g on true
     where m.id = $2
       and ($1 is null or m.created_by = any ($1) or g.kind is not null)
       for update of m
), deleted as (
    delete from mappings m using found
     where m.id = found.id
       and found.allowed
       and found.matches
    returning m.id
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, actor_id, record, texts_here, texts_later)
    select 'mapping', deleted.id, version, created_by, patient_id, 'delete', $4, text.*
      from deleted, found, without_same_texts(before, null) as text
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select acting_for($4, $5, $1, created_by, patient_id), 'delete', 'mapping', deleted.id, version + 1, $6, $7 from deleted, found
)
select matches, allowed, emergency
  from found;

-- name: undelete(owners bigint[], id bigint, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- conflict mappings_pkey: The mapping is not deleted
-- conflict record_versions_pkey: The mapping is not deleted
-- conflict mappings_patient_id_doctor_id_key: This doctor is already assigned to this patient
-- Brings a deleted mapping back, if its patient and its doctor exist: it belongs to the patient's owner, who may do this. If there is no
-- patient, it was the owner of the mapping. `was_deleted` false: the mapping is there. `allowed` false: what is granted is not a change. No
-- row: none for these owners.
with gone as (
    select version, owner_id, patient_id, record
      from deletion_of('mapping', $2)
     where record is not null
), patient as (
    select p.id, p.name, p.version, p.created_by from gone join patients p on p.id = gone.patient_id for key share of p
), found as (
    select gone.version, record, coalesce(g.can_change, true) as allowed, g.emergency
      from gone
      left join patient on true
      left join live_grant($1, patient.created_by, patient.id) as g on true
     where $1 is null
        or coalesce(patient.created_by, owner_id) = any ($1)
        or g.kind is not null
), doctor as (
    select d.id, d.name, d.specialization, d.phone, d.email, d.version
      from found
     cross join patient
      join doctors d on d.id = (record -> 'doctor_id')::bigint
     where found.allowed
       for key share of d
), restored as (
    insert into mappings overriding system value
    select new.*
      from found
     cross join patient
     cross join doctor
     cross join lateral jsonb_populate_record(null::mappings, record || jsonb_build_object(
               'created_by', patient.created_by, 'version', found.version + 2, 'updated_at', now())) as new
    returning *
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, actor_id)
    select 'mapping', id, version - 1, created_by, patient_id, 'undelete', $3 from restored
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select acting_for($3, $4, $1, created_by, patient_id), 'undelete', 'mapping', id, version, $5, $6 from restored
)
select true as was_deleted, found.allowed, found.emergency, patient.id is not null as patient_found, doctor.id is not null as doctor_found, restored.*,
       restored.version || '.' || patient.version || '.' || doctor.version as versions,
       patient.name as patient_name, doctor.name as doctor_name, doctor.specialization as doctor_specialization,
       doctor.phone as doctor_phone, doctor.email as doctor_email
  from found
  left join patient on true
  left join doctor on true
  left join restored on true
 union all
select false, coalesce(g.can_change, true), g.emergency, true, true, m.*, null, null, null, null, null, null
  from mappings m
  left join live_grant($1, m.created_by, m.patient_id) as g on true
 where m.id = $2
   and ($1 is null or m.created_by = any ($1) or g.kind is not null);
