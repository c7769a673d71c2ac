-- Shares: one patient for one user. The owner of the patient, a colleague of the owner or an admin makes and ends them.

-- name: lock(owners bigint[], patient_id bigint, actor_id bigint) :opt write
-- Runs first in a transaction that makes or ends a share, so that shares of one patient are made one after the other, and what entitles
-- the actor stays meanwhile: the role, the memberships of the actor and of the owner, and the owner.
with actor as (
    select id from users where id = $3 for share
), members as (
    select m.group_id
      from (select count(*) as actors from actor) as locked
     cross join care_group_members m
     where m.user_id = $3
        or m.user_id = (select created_by from patients where id = $2 and not created_by = any ($1[1:1]))
     order by m.group_id, m.user_id
       for key share of m
)
select p.id
  from (select count(*) as members from members) as locked
 cross join patients p
 where p.id = $2
   for no key update of p;

-- name: share(owners bigint[], patient_id bigint, user_id bigint, email text, can_change boolean, expires_at timestamptz, most bigint, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Runs after `lock`. No row: no such patient. `allowed` false: the actor is only granted the patient. Otherwise `refused` says why not,
-- and `person_found` whether there is such a user.
with patient as (
    select p.id, p.created_by, g.kind is null as allowed, g.emergency
      from patients p
      left join live_grant($1, p.created_by, p.id) as g on true
     where p.id = $2
       and ($1 is null or p.created_by = any ($1) or g.kind is not null)
), person as (
    select u.id,
           case when u.id in (patient.created_by, $8) then 'self'
                when exists (select
                               from patient_grants g
                              where g.patient_id = $2
                                and g.user_id = u.id
                                and g.kind = 'share'
                                and g.ended_at is null
                                and coalesce(g.expires_at > now(), true)) then 'present'
                when (select count(*)
                        from patient_grants g
                       where g.patient_id = $2
                         and g.kind = 'share'
                         and g.ended_at is null
                         and coalesce(g.expires_at > now(), true)) >= $7 then 'full' end as refused
      from patient
      join users u on u.id = $3 or u.email = $4
     where patient.allowed
), made as (
    insert into patient_grants (patient_id, user_id, kind, can_change, granted_by, expires_at)
    select patient.id, person.id, 'share', $5, $8, $6 from patient, person where refused is null
    returning id, patient_id, user_id, can_change, expires_at, granted_by, granted_at
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, resource_ids, ip, request_id)
    select acting_for($8, $9, $1, patient.created_by, null), 'share', 'grant', made.id, array[patient_id], $10, $11 from made, patient
)
select patient.allowed, patient.emergency, person.id is not null as person_found, person.refused,
       made.id, made.patient_id, made.user_id, made.can_change, made.expires_at, made.granted_by, made.granted_at,
       pg_notify('session_changes', 'user ' || made.user_id)::text as notified
  from patient
  left join person on true
  left join made on true;

-- name: list(owners bigint[], patient_id bigint) :many
-- The live shares of a patient. No row: no such patient. One row with a null id: a patient without shares.
select s.id, s.patient_id, s.user_id, s.can_change, s.expires_at,
       s.granted_by, s.granted_at, g.emergency
  from patients p
  left join live_grant($1, p.created_by, p.id) as g on true
  left join patient_grants s on s.patient_id = p.id
                            and s.kind = 'share'
                            and s.ended_at is null
                            and coalesce(s.expires_at > now(), true)
 where p.id = $2
   and ($1 is null or p.created_by = any ($1) or g.kind is not null)
 order by s.id;

-- name: unshare(owners bigint[], patient_id bigint, id bigint, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Runs after `lock`. No row: no such patient. `allowed` false: it is not the actor's, and the actor is only granted the patient. `share_found`
-- false: no such share.
with found as (
    select s.id, s.user_id, p.created_by, s.patient_id, g.kind is null or coalesce(s.user_id = $4, false) as allowed, g.emergency
      from patients p
      left join live_grant($1, p.created_by, p.id) as g on true
      left join patient_grants s on s.patient_id = p.id
                                and s.id = $3
                                and s.kind = 'share'
                                and s.ended_at is null
                                and coalesce(s.expires_at > now(), true)
     where p.id = $2
       and ($1 is null or p.created_by = any ($1) or g.kind is not null)
), ended as (
    update patient_grants g set ended_at = now() from found where g.id = found.id and found.allowed
    returning g.id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, resource_ids, ip, request_id)
    select case when found.user_id = $4 then acting($4, $5, $1 is null) else acting_for($4, $5, $1, created_by, null) end,
           'unshare', 'grant', ended.id, array[patient_id], $6, $7
      from ended, found
)
select allowed, emergency, id is not null as share_found,
       case when id is not null then pg_notify('session_changes', 'user ' || user_id)::text end as notified
  from found;

-- name: access(owners bigint[], patient_id bigint) :many
-- Who may see a patient and why; somebody who is in several groups of the owner, or may for several reasons, stands there several times. A
-- disabled user sees nothing, but stays an owner. No row: no such patient.
with patient as (
    select p.id, p.created_by, g.emergency
      from patients p
      left join live_grant($1, p.created_by, p.id) as g on true
     where p.id = $2
       and ($1 is null or p.created_by = any ($1) or g.kind is not null)
), reasons as (
    select created_by as user_id, 1 as place, 'owner' as reason, null::bigint as group_id, true as can_change, null::timestamptz as expires_at
      from patient
     union all
    select other.user_id, 2, 'group', other.group_id, true, null
      from patient
      join care_group_members mine on mine.user_id = patient.created_by
      join care_group_members other on other.group_id = mine.group_id and other.user_id <> mine.user_id
     union all
    select g.user_id, 3, g.kind, null, g.can_change, g.expires_at
      from patient
      join patient_grants g on g.patient_id = patient.id and g.ended_at is null and coalesce(g.expires_at > now(), true)
     union all
    select u.id, 4, 'admin', null, true, null
      from patient, users u
     where u.role = 'admin'
)
select u.id as user_id, u.name, reason, group_id, g.name as group_name, can_change, expires_at,
       (select emergency from patient) as emergency
  from reasons
  join users u on u.id = reasons.user_id and (not u.disabled or reason = 'owner')
  left join care_groups g on g.id = group_id
 order by place, u.id, group_id;

-- name: names(user_ids bigint[]) :many
select id, name
  from users
 where id = any ($1);

-- name: end_lost(user_ids bigint[]) :exec write
-- Runs last in a transaction that takes members out of care groups, takes away a role, or moves patients: ends the shares that one of
-- these users made, or that are of their patients, and that the maker could not make any more, or that are for the owner.
with lost as (
    select g.id
      from patient_grants g
      join patients p on p.id = g.patient_id
     where g.kind = 'share'
       and g.ended_at is null
       and (g.granted_by = any ($1) or p.created_by = any ($1))
       and (g.user_id = p.created_by
            or g.granted_by <> p.created_by
               and not exists (select from users where id = g.granted_by and role = 'admin')
               and not exists (select
                                 from care_group_members mine
                                 join care_group_members other on other.group_id = mine.group_id
                                where mine.user_id = g.granted_by
                                  and other.user_id = p.created_by))
     order by g.id
       for no key update of g
)
update patient_grants g set ended_at = now() from lost where g.id = lost.id;
