-- Emergency access: a user who has the right sees somebody else's patient for a while, knowing the name and the birth date. Each try is an
-- entry of the trail, and each grant waits for a review.

-- name: ask(owners bigint[], name text, date_of_birth date, reason text, minutes integer, tries bigint, matches bigint, actor_id bigint, session_id bigint, ip inet, request_id text) :many write
-- Runs after `users.lock`: the tries of a user come one after the other, at all nodes, and the right stays meanwhile. A row for each grant,
-- or one without. `result` is `denied` without the right, and `limited` after so many `tries` within an hour; otherwise it is a try. Patients
-- whom the user sees anyway do not count; those who match stay until the end (`for key share`). A hit and a miss take the same steps.
-- A name is compared folded first, since that has an index, and then with its accents.
with asked as (
    select case when not u.may_break_glass then 'denied' when tried.count >= $6 then 'limited' end as refused,
           greatest(1, ceil(extract(epoch from tried.first_at + interval '1 hour' - now())))::bigint as retry_after
      from users u
     cross join (select count(*), min(at) as first_at
                   from audit_entries
                  where actor_id = $8
                    and action = 'emergency'
                    and at > now() - interval '1 hour') as tried
     where u.id = $8
), matching as (
    select p.id
      from patients p
     where (select refused from asked) is null
       and folded(p.name) = folded($2)
       and caseless(p.name) = caseless($2)
       and p.date_of_birth = $3
       and not p.created_by = any ($1)
       and not exists (select
                         from patient_grants g
                        where g.patient_id = p.id
                          and g.user_id = $8
                          and g.kind = 'share'
                          and g.ended_at is null
                          and coalesce(g.expires_at > now(), true))
     order by p.id
     limit $7 + 1
       for key share of p
), made as (
    insert into patient_grants (patient_id, user_id, kind, granted_by, reason, expires_at)
    select id, $8, 'emergency', $8, $4, now() + make_interval(mins => $5)
      from matching
     where (select count(*) from matching) <= $7
    returning id, patient_id, expires_at
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_ids, outcome, ip, request_id)
    select acting($8, $9, false), 'emergency', 'patient', (select array_agg(patient_id order by patient_id) from made),
           case when exists (select from made) then 'success' else 'failed' end, $10, $11
      from asked
     where refused is null
)
select coalesce(refused, case when found.count = 0 then 'not_found' when found.count > $7 then 'too_many' else 'granted' end) as result,
       retry_after, made.id, made.patient_id, made.expires_at,
       (select count(*) from made)
       + (select count(*) from patient_grants where kind = 'emergency' and reviewed_at is null) as unreviewed,
       pg_notify('session_changes', 'user ' || $8)::text as notified
  from asked
 cross join (select count(*) from matching) as found
  left join made on true
 order by made.id;

-- name: mine(user_id bigint) :many
select id, user_id, patient_id, reason, granted_at, expires_at, ended_at, reviewed_at, reviewed_by, verdict, review_note as note
  from patient_grants
 where user_id = $1
   and kind = 'emergency'
   and ended_at is null
   and expires_at > now()
 order by id;

-- name: end(id bigint, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
with ended as (
    update patient_grants
       set ended_at = now()
     where id = $1
       and user_id = $2
       and kind = 'emergency'
       and ended_at is null
       and expires_at > now()
    returning id, patient_id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, resource_ids, ip, request_id)
    select acting($2, $3, false), 'unshare', 'grant', id, array[patient_id], $4, $5 from ended
)
select id
  from ended;

-- name: list(after_id bigint, page_size bigint, reviewed boolean, user_id bigint) :many planned
select id, user_id, patient_id, reason, granted_at, expires_at, ended_at, reviewed_at, reviewed_by, verdict, review_note as note
  from patient_grants
 where kind = 'emergency'
   and id > $1
   and ($3 is null or (reviewed_at is not null) = $3)
   and ($4 is null or user_id = $4)
 order by id
 limit $2;

-- name: review(id bigint, verdict text, note text, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- No row: no such grant. `is_own`: the actor took it. `is_new` false: it was reviewed before, or is the actor's own.
with found as (
    select id, user_id, reviewed_at from patient_grants where id = $1 and kind = 'emergency' for no key update
), changed as (
    update patient_grants g
       set reviewed_at = now(), reviewed_by = $4, verdict = $2, review_note = $3
      from found
     where g.id = found.id
       and found.reviewed_at is null
       and found.user_id <> $4
    returning g.id, g.user_id, g.patient_id, g.reason, g.granted_at, g.expires_at, g.ended_at, g.reviewed_at, g.reviewed_by, g.verdict, g.review_note
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, resource_ids, ip, request_id)
    select acting($4, $5, true), 'emergency_review', 'grant', id, array[patient_id], $6, $7 from changed
)
select found.user_id = $4 as is_own, changed.id is not null as is_new, changed.id, changed.user_id, patient_id, reason, granted_at, expires_at,
       ended_at, changed.reviewed_at, reviewed_by, verdict, review_note as note,
       (select count(*) from patient_grants where kind = 'emergency' and reviewed_at is null) - (select count(*) from changed) as unreviewed
  from found
  left join changed on true;

-- name: unreviewed() :one
select count(*) as unreviewed
  from patient_grants
 where kind = 'emergency'
   and reviewed_at is null;
