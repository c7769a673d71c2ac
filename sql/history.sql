-- Versions of all kinds of records, and deleted records. Who may read a record may read its history; if it is deleted, its last owners may.
-- Null owners mean any owner, which only the admin routes ask for.

-- name: list(owners bigint[], resource text, id bigint, patient_id bigint, before_version bigint, page_size bigint) :many planned
-- The versions of one record, newest first, as JSON, and one row more than is shown. No row: no such record for these owners, or, if
-- `patient_id` is given, no such mapping of this patient now or at last. One row with a null version: there are none on this page.
with present as (
    select version, to_jsonb(p) as record, g.emergency
      from patients p
      left join live_grant($1, p.created_by, p.id) as g on true
     where $2 = 'patient'
       and p.id = $3
       and ($1 is null or p.created_by = any ($1) or g.kind is not null)
     union all
    select version, to_jsonb(d), null
      from doctors d
     where $2 = 'doctor'
       and id = $3
     union all
    select version, to_jsonb(m), g.emergency
      from mappings m
      left join live_grant($1, m.created_by, m.patient_id) as g on true
     where $2 = 'mapping'
       and m.id = $3
       and ($1 is null or m.created_by = any ($1) or g.kind is not null)
       and m.patient_id = coalesce($4, m.patient_id)
     union all
    select version, account(u), null
      from users u
     where $2 = 'user'
       and id = $3
), newest as materialized (
    -- The record that there is, or, if it is deleted, the version in which there is none.
    select version, record, emergency
      from present
     union all
    select last.version + 1, null, g.emergency
      from deletion_of($2, $3) as last
      left join patients p on p.id = last.patient_id and $2 = 'mapping'
      left join live_grant($1, p.created_by, p.id) as g on true
     where ($1 is null or coalesce(p.created_by, owner_id) = any ($1) or g.kind is not null)
       and ($4 is null or patient_id = $4)
), page as (
    -- The newest and the kept versions. Each began when the one before it ended, so the next row says when, by whom and how.
    select newest.version as newest_version, newest.emergency, item.version, item.record, texts_later,
           lead(item.version) over followed = item.version - 1 as is_followed, lead(ended_at) over followed as began_at,
           lead(item.actor_id) over followed as actor_id, lead(ended_by) over followed as began_by
      from newest
      left join lateral (
           (select newest.version, newest.record, null::text[] as texts_later, null::timestamptz as ended_at,
                   null::bigint as actor_id, null::text as ended_by
             where newest.version < $5)
            union all
           (select version, record, texts_later, ended_at, actor_id, ended_by
              from record_versions as kept
             where resource = $2
               and record_id = $3
               and version < $5
               -- A mapping may have belonged to another patient, who must be one that these owners may see.
               and ($2 <> 'mapping' or $1 is null or coalesce(
                   (select created_by = any ($1) or exists (select from live_grant($1, created_by, id)) from patients where id = kept.patient_id),
                   kept.owner_id = any ($1)))
             order by version desc
             limit $6)
            order by version desc
            limit $6) as item on true
    window followed as (order by item.version desc)
)
select page.version, page.emergency, coalesce(case when is_followed then began_at end, made.at, (record ->> 'updated_at')::timestamptz) as at,
       case when is_followed then page.actor_id else made.actor_id end as actor_id,
       case when page.version = 1 then 'create' when is_followed then began_by else 'update' end as action,
       -- Earlier versions of a user may lack a field that is newer. A mapping shows its patient and its doctor as they are now, and of what is
       -- gone the id alone.
       case $2 when 'user' then '{"invited": false, "totp": false, "may_break_glass": false}' else '{}'::jsonb end
           || record || coalesce(later.texts, '{}') || case when $2 <> 'mapping' then '{}' else jsonb_build_object(
           'patient', coalesce(
               (select jsonb_build_object('id', id, 'name', name)
                  from patients
                 where id = (record -> 'patient_id')::bigint),
               jsonb_build_object('id', record -> 'patient_id')),
           'doctor', coalesce(
               (select jsonb_build_object('id', id, 'name', name, 'specialization', specialization, 'phone', phone, 'email', email)
                  from doctors
                 where id = (record -> 'doctor_id')::bigint),
               jsonb_build_object('id', record -> 'doctor_id'))) end as record
  from page
  left join lateral (
       -- The first version began with the create. Earlier versions of a user may be missing, from before they were kept.
       select at, actor_id
         from audit_entries
        where page.version = 1
          and resource = $2
          and resource_id = $3
          and action in ('create', 'register')
        order by id
        limit 1) as made on true
  left join lateral (
       select jsonb_object_agg(name, coalesce(
                  (select coalesce(holder.record -> name, 'null')
                     from record_versions holder
                    where holder.resource = $2
                      and holder.record_id = $3
                      and holder.version > page.version
                      and holder.texts_here @> array[name]
                    order by holder.version
                    limit 1),
                  newest.record -> name)) as texts
         from newest, unnest(page.texts_later) as name) as later on true
 order by page.version desc;

-- name: deleted(owners bigint[], resource text, before_time timestamptz, before_id bigint, page_size bigint) :many planned
-- Deleted records, the last deleted first: a page of each owner, and of these the first. A record that was brought back has a later
-- version. Of a mapping both names: those that patient and doctor have, or had at last.
select record_id as id, ended_at as deleted_at, actor_id as deleted_by,
       case when $2 <> 'mapping' then jsonb_build_object('name', record -> 'name') else jsonb_build_object(
           'patient', coalesce(
               (select jsonb_build_object('id', id, 'name', name)
                  from patients
                 where id = gone.patient_id
                   and ($1 is null or created_by = any ($1))),
               (select jsonb_build_object('id', record_id, 'name', record -> 'name')
                  from record_versions
                 where resource = 'patient'
                   and record_id = gone.patient_id
                   and ($1 is null or owner_id = any ($1))
                 order by version desc
                 limit 1),
               jsonb_build_object('id', gone.patient_id)),
           'doctor', coalesce(
               (select jsonb_build_object('id', id, 'name', name) from doctors where id = (gone.record -> 'doctor_id')::bigint),
               (select jsonb_build_object('id', record_id, 'name', record -> 'name')
                  from record_versions
                 where resource = 'doctor'
                   and record_id = (gone.record -> 'doctor_id')::bigint
                 order by version desc
                 limit 1))) end as about
  from unnest(coalesce($1, array[null::bigint])) as owner (id)
 cross join lateral (
           select record_id, ended_at, actor_id, patient_id, record
             from record_versions as last
            where resource = $2
              and ended_by = 'delete'
              and record is not null
              and ($1 is null or owner_id = owner.id)
              and ($3 is null or (ended_at, record_id) < ($3, $4))
              and not exists (select
                                from record_versions later
                               where later.resource = $2
                                 and later.record_id = last.record_id
                                 and later.version = last.version + 1)
            order by ended_at desc, record_id desc
            limit $5) as gone
 order by ended_at desc, record_id desc
 limit $5;
