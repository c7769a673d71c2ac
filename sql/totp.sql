-- The second factor. Its rows change only while the row of their user is locked, so that no code is good twice, at any node.

-- name: prepare(actor_id bigint, session_id bigint, secret bytea) :opt write
-- Runs after `users.lock`: a secret that is not in force yet, in place of an earlier one. No row: there is one in force.
with actor as (
    select acting($1, $2, false) as id
)
insert into totp_secrets as present (user_id, secret)
select u.id, $3
  from users u
  join actor on actor.id = u.id
 where not u.totp
    on conflict (user_id) do update
   set secret = excluded.secret, last_step = 0, wrong_codes = 0
returning user_id;

-- name: find(user_id bigint) :opt
select secret, last_step, wrong_codes
  from totp_secrets
 where user_id = $1;

-- name: find_recovery(user_id bigint, hash bytea) :opt
select user_id
  from recovery_codes
 where user_id = $1
   and hash = $2;

-- name: confirm(actor_id bigint, session_id bigint, step bigint, hashes bytea[], ip inet, request_id text) :opt write
-- Runs after `users.lock`: the secret comes into force, the step of its first code is used up, and there are new recovery codes.
with actor as (
    select acting($1, $2, false) as id
), changed as (
    update users u
       set totp = true, version = u.version + 1, updated_at = now()
      from actor
     where u.id = actor.id
       and not u.totp
    returning u.id, u.version
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, ended_by, actor_id, record)
    select 'user', u.id, u.version, u.id, 'update', $1, account(u) from changed join users u on u.id = changed.id
), used as (
    update totp_secrets t set last_step = $3, wrong_codes = 0 from changed where t.user_id = changed.id
), codes as (
    insert into recovery_codes (user_id, hash) select changed.id, code.hash from changed, unnest($4) as code (hash)
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select id, 'totp_change', 'user', id, version, $5, $6 from changed
)
select id
  from changed;

-- name: use_code(user_id bigint, step bigint, secret bytea) :exec write
-- A login with a code: its step is used up. `secret` is given if it has to be sealed anew.
update totp_secrets
   set last_step = $2, wrong_codes = 0, secret = coalesce($3, secret)
 where user_id = $1;

-- name: use_recovery(user_id bigint, hash bytea, ip inet, request_id text) :one write
-- A login with a recovery code, which is used up; how many are left.
with used as (
    delete from recovery_codes where user_id = $1 and hash = $2 returning user_id
), forgotten as (
    update totp_secrets t set wrong_codes = 0 from used where t.user_id = used.user_id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select user_id, 'totp_change', 'user', user_id, $3, $4 from used
)
select (select count(*) from recovery_codes where user_id = $1) - count(*) as codes_left
  from used;

-- name: record_wrong(user_id bigint, most integer, ip inet, request_id text) :exec write
-- Counts a wrong code. The last that the limit allows locks the account.
with wrong as (
    update totp_secrets set wrong_codes = wrong_codes + 1 where user_id = $1 returning user_id, wrong_codes
)
insert into audit_entries (action, resource, resource_id, outcome, ip, request_id)
select 'lock', 'user', user_id, 'failed', $3, $4 from wrong where wrong_codes = $2;

-- name: remove(actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Runs after `users.lock`: the user's own second factor is no longer in force.
with actor as (
    select acting($1, $2, false) as id
), changed as (
    update users u
       set totp = false, version = u.version + 1, updated_at = now()
      from actor
     where u.id = actor.id
       and u.totp
    returning u.id, u.name, u.email, u.role, u.disabled, u.invited, u.totp, u.may_break_glass, u.version, u.created_at, u.updated_at
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, ended_by, actor_id, record)
    select 'user', u.id, u.version, u.id, 'update', $1, account(u) from changed join users u on u.id = changed.id
), secret as (
    delete from totp_secrets t using changed where t.user_id = changed.id
), codes as (
    delete from recovery_codes r using changed where r.user_id = changed.id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select id, 'totp_change', 'user', id, version, $3, $4 from changed
)
select id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at
  from changed;

-- name: take_away(id bigint, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Runs after `users.lock`: an admin helps somebody who lost the phone. If there was a second factor, all sessions end. No row: no such
-- user.
with found as (
    select id from users where id = $1
), actor as (
    select acting($2, $3, true) as id
), changed as (
    update users u
       set totp = false, version = u.version + 1, updated_at = now()
      from found, actor
     where u.id = found.id
       and u.totp
    returning u.id, u.version
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, ended_by, actor_id, record)
    select 'user', u.id, u.version, u.id, 'update', $2, account(u) from changed join users u on u.id = changed.id
), secret as (
    delete from totp_secrets t using changed where t.user_id = changed.id
), codes as (
    delete from recovery_codes r using changed where r.user_id = changed.id
), ended as (
    update sessions set ended_at = now() from changed where user_id = changed.id and ended_at is null returning sessions.id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select actor.id, 'totp_change', 'user', changed.id, version, $4, $5 from actor, changed
     union all
    select actor.id, 'session_end', 'session', ended.id, null, $4, $5 from actor, ended
)
select found.id, pg_notify('session_changes', 'user ' || found.id)::text as notified
  from found, actor;

-- name: clear(id bigint) :opt write
-- Runs after `resets.lock_by_email`: the same by the operator, who has no user id. No row: there is no second factor.
with changed as (
    update users u
       set totp = false, version = u.version + 1, updated_at = now()
     where u.id = $1
       and u.totp
    returning u.id, u.version
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, ended_by, actor_id, record)
    select 'user', u.id, u.version, u.id, 'update', null, account(u) from changed join users u on u.id = changed.id
), secret as (
    delete from totp_secrets t using changed where t.user_id = changed.id
), codes as (
    delete from recovery_codes r using changed where r.user_id = changed.id
), ended as (
    update sessions set ended_at = now() from changed where user_id = changed.id and ended_at is null returning sessions.id
), audited as (
    insert into audit_entries (action, resource, resource_id, version)
    select 'totp_change', 'user', id, version from changed
     union all
    select 'session_end', 'session', id, null from ended
)
select id, pg_notify('session_changes', 'user ' || id)::text as notified
  from changed;
