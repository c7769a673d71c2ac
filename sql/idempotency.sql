-- Requests that may be sent again: a key, the request that it was sent with, and the stored answer.

-- name: claim(user_id bigint, key text) :one write
-- Runs first in its transaction: no other request can claim this key until the transaction ends. `claimed` false: another request
-- holds it.
select pg_try_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0)) as claimed;

-- name: find(user_id bigint, key text, lifetime_seconds integer) :opt
-- A separate statement after `claim`, so that it sees what the last holder of the key has stored.
select request_hash, location, etag, body
  from idempotency_keys
 where user_id = $1
   and key = $2
   and created_at > now() - make_interval(secs => $3);

-- name: may_see(owners bigint[], resource text, id bigint) :one
-- Whether a patient or mapping of the stored answer may still be seen or, once it is deleted, its history.
select coalesce((select g.emergency from patients p cross join live_grant($1, p.created_by, p.id) as g where $2 = 'patient' and p.id = $3),
                (select g.emergency from mappings m cross join live_grant($1, m.created_by, m.patient_id) as g where $2 = 'mapping' and m.id = $3))
       as emergency,
       exists (select
                 from patients p
                 left join live_grant($1, p.created_by, p.id) as g on true
                where $2 = 'patient'
                  and p.id = $3
                  and (p.created_by = any ($1) or g.kind is not null))
    or exists (select
                 from mappings m
                 left join live_grant($1, m.created_by, m.patient_id) as g on true
                where $2 = 'mapping'
                  and m.id = $3
                  and (m.created_by = any ($1) or g.kind is not null))
    or exists (select from deletion_of($2, $3) where owner_id = any ($1)) as may_see;

-- name: store(user_id bigint, key text, request_hash bytea, location text, etag text, body bytea) :exec write
-- Runs last in its transaction, together with the change that the answer describes. An answer that is too old to be found is
-- replaced.
insert into idempotency_keys as present (user_id, key, request_hash, location, etag, body)
values ($1, $2, $3, $4, $5, $6)
    on conflict (user_id, key) do update
   set request_hash = $3, location = $4, etag = $5, body = $6, created_at = now();

-- name: prune(lifetime_seconds integer, most bigint) :one write
-- Removes answers that are too old to be found. Served by idempotency_keys_created_at_idx.
with over as (
    select user_id, key
      from idempotency_keys
     where created_at <= now() - make_interval(secs => $1)
     order by created_at
     limit $2
       for update skip locked
), removed as (
    delete from idempotency_keys k using over where k.user_id = over.user_id and k.key = over.key
    returning k.key
)
select count(*) as removed from removed;
