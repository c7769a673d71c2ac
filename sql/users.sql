-- Users: registration, a user's own account, and what an admin sees and changes of all accounts.

-- name: register(name text, email text, password_hash text, role text, ip inet, request_id text) :one write
-- conflict users_email_key: A user with this e-mail already exists
with created as (
    insert into users (name, email, password_hash, role)
    values ($1, $2, $3, $4)
    returning id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select id, 'register', 'user', id, $5, $6 from created
)
select id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at
  from created;

-- name: find(id bigint[]) :opt batched
select q.number, id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at
  from unnest($1) with ordinality as q (user_id, number)
  join users on id = q.user_id;

-- name: find_by_email(email text) :opt
select id
  from users
 where email = $1;

-- name: search(after_id bigint, page_size bigint, email_part text, role text, disabled boolean, words text[]) :many planned
select id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at
  from users
 where id > $1
   and ($3 is null or (searched(name, email, null, null, null) like any_part($3) and coalesce(folded(email) like any_part($3), false)))
   and ($4 is null or role = $4)
   and ($5 is null or disabled = $5)
   and ($6 is null
        or ((char_length($6[1]) < 3 or searched(name, email, null, null, null) ~ word_pattern($6[1]))
            and coalesce(searched(name, email, null, null, null) ~ all (array(select word_pattern(word) from unnest($6) as word)), false)))
 order by id
 limit $2;

-- name: lock(id bigint) :opt write
-- Runs first in a transaction that creates or ends the user's sessions: the next statement then sees every session that was
-- created or ended before. (A single statement that waits for the row would continue with what it saw before it waited.)
select id, disabled, totp
  from users
 where id = $1
   for no key update;

-- name: update_profile(actor_id bigint, session_id bigint, name text, email text, old_hash text, versions text[], ip inet, request_id text) :opt write
-- conflict users_email_key: A user with this e-mail already exists
-- Runs after `lock`: changes the user's own name and e-mail address if they are given, and writes nothing if neither differs. A new
-- address ends the other sessions and the one-time tokens. `matches` false: the record is at none of `versions`. No row: the
-- password is no longer the one of `old_hash`, against which it was checked.
with actor as (
    select acting($1, $2, false) as id
), found as (
    select u.id, u.name, u.email, u.role, u.disabled, u.invited, u.totp, u.may_break_glass, u.version, u.created_at, u.updated_at,
           $6 is null or version::text = any ($6) as matches
      from users u
      join actor on actor.id = u.id
     where $5 is null
        or u.password_hash = $5
), changed as (
    update users u
       set name = coalesce($3, u.name), email = coalesce($4, u.email), version = u.version + 1, updated_at = now()
      from found
     where u.id = found.id
       and found.matches
       and (found.name, found.email) <> (coalesce($3, found.name), coalesce($4, found.email))
    returning u.id, u.name, u.email, u.role, u.disabled, u.invited, u.totp, u.may_break_glass, u.version, u.created_at, u.updated_at
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, ended_by, actor_id, record)
    select 'user', u.id, u.version, u.id, 'update', $1, account(u) from changed join users u on u.id = changed.id
), moved as (
    select changed.id from changed join found on found.email <> changed.email
), spent as (
    update one_time_tokens t set hash = null from moved where t.user_id = moved.id and t.hash is not null
), ended as (
    update sessions set ended_at = now() from moved where user_id = moved.id and sessions.id <> $2 and ended_at is null
    returning sessions.id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select actor.id, 'profile_change', 'user', changed.id, version, $7, $8 from changed, actor
     union all
    select actor.id, 'session_end', 'session', ended.id, null, $7, $8 from ended, actor
)
select true as matches, id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at,
       (select count(pg_notify('session_changes', 'session ' || ended.id)) from ended) as ended
  from changed
 union all
select matches, id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at, 0
  from found
 where not exists (select from changed);

-- name: change_password(actor_id bigint, old_hash text, new_hash text, session_id bigint, refresh_hash bytea, ip inet, request_id text) :opt write
-- Runs after `lock`: sets the new hash if the old one is unchanged, and ends the user's sessions and one-time tokens. The session of
-- the request continues under a new id, so that no earlier token is valid, with `refresh_hash` as its refresh token. No row: the
-- password was changed meanwhile.
with actor as (
    select acting($1, $4, false) as id
), changed as (
    update users u
       set password_hash = $3, version = u.version + 1, updated_at = now()
      from actor
     where u.id = actor.id
       and u.password_hash = $2
    returning u.id, u.name, u.email, u.role, u.disabled, u.invited, u.totp, u.may_break_glass, u.version, u.created_at, u.updated_at
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, ended_by, actor_id, record)
    select 'user', u.id, u.version, u.id, 'update', $1, account(u) from changed join users u on u.id = changed.id
), spent as (
    update one_time_tokens t set hash = null from changed where t.user_id = changed.id and t.hash is not null
), ended as (
    update sessions s
       set ended_at = now()
      from changed
     where s.user_id = changed.id
       and s.ended_at is null
    returning s.id, s.user_id, s.user_agent, s.ip, s.created_at, s.expires_at
), renewed as (
    insert into sessions (user_id, user_agent, ip, created_at, expires_at)
    select user_id, user_agent, ip, created_at, expires_at from ended where id = $4
    returning id, expires_at
), token as (
    insert into refresh_tokens (hash, session_id) select $5, id from renewed
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select id, 'password_change', 'user', id, $6, $7 from changed
     union all
    select actor.id, 'session_end', 'session', ended.id, $6, $7 from ended, actor where ended.id <> $4
)
select changed.id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at, renewed.id as session_id, expires_at,
       (select count(pg_notify('session_changes', 'session ' || ended.id)) from ended) as ended
  from changed, renewed;

-- name: create(name text, email text, password_hash text, role text, token_hash bytea, invitation_seconds integer, actor_id bigint, session_id bigint, ip inet, request_id text) :one write
-- conflict users_email_key: A user with this e-mail already exists
-- An account that an admin makes. Without a password it gets an invitation.
with created as (
    insert into users (name, email, password_hash, role)
    values ($1, $2, $3, $4)
    returning id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at
), invitation as (
    insert into one_time_tokens (user_id, purpose, hash, expires_at)
    select id, 'invitation', $5, now() + make_interval(secs => $6) from created where invited
    returning expires_at
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select acting($7, $8, true), 'create', 'user', id, $9, $10 from created
)
select id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at, (select expires_at from invitation) as expires_at
  from created;

-- name: lock_admins(id bigint, actor_id bigint) :many write
-- The same for a change of role or `disabled`: locks the user, the actor and all enabled admins in one order, so that two
-- simultaneous requests cannot remove the last two admins, and no admin is demoted in the middle of a change.
select id
  from users
 where id in ($1, $2)
    or (role = 'admin' and not disabled)
 order by id
   for no key update;

-- name: update(id bigint, role text, disabled boolean, may_break_glass boolean, name text, email text, versions text[], actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- conflict users_email_key: A user with this e-mail already exists
-- Runs after `lock_admins`: changes what is given, name and e-mail address only of an invited account, and writes nothing if nothing differs.
-- Disabling an account ends its sessions, one-time tokens and emergency access, a new address its tokens, and the loss of the right to emergency
-- access what the user has of it. The actor is checked before the change, because admins may change themselves. No row: no such user. `matches`
-- false: the record is at none of `versions`. `admin_remains` false: it is the last admin.
with seen as (
    select id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at,
           $7 is null or version::text = any ($7) as matches
      from users
     where id = $1
        or (role = 'admin' and not disabled)
), found as (
    select id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at, matches,
           acting($8, $9, true) as actor_id,
           case when invited then coalesce($5, name) else name end as new_name,
           case when invited then coalesce($6, email) else email end as new_email,
           coalesce($2, role) = 'admin' and not coalesce($3, disabled)
           or not (role = 'admin' and not disabled)
           or exists (select from seen other where other.id <> $1 and other.role = 'admin' and not other.disabled)
           as admin_remains
      from seen
     where id = $1
), changed as (
    update users u
       set role = coalesce($2, u.role), disabled = coalesce($3, u.disabled),
           may_break_glass = coalesce($4, u.may_break_glass), name = new_name, email = new_email,
           version = u.version + 1, updated_at = now()
      from found
     where u.id = found.id
       and found.matches
       and found.admin_remains
       and (found.role, found.disabled, found.may_break_glass, found.name, found.email)
           <> (coalesce($2, found.role), coalesce($3, found.disabled), coalesce($4, found.may_break_glass), new_name, new_email)
    returning u.id, u.name, u.email, u.role, u.disabled, u.invited, u.totp, u.may_break_glass, u.version, u.created_at, u.updated_at
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, ended_by, actor_id, record)
    select 'user', u.id, u.version, u.id, 'update', $8, account(u) from changed join users u on u.id = changed.id
), spent as (
    update one_time_tokens t
       set hash = null
      from changed, found
     where t.user_id = changed.id
       and t.hash is not null
       and (changed.disabled or changed.email <> found.email)
), ended as (
    update sessions
       set ended_at = now()
      from changed
     where user_id = changed.id
       and changed.disabled
       and ended_at is null
    returning sessions.id
), ended_grants as (
    update patient_grants g
       set ended_at = now()
      from changed
     where g.user_id = changed.id
       and (changed.disabled or not changed.may_break_glass)
       and g.kind = 'emergency'
       and g.ended_at is null
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select actor_id, 'role_change', 'user', changed.id, changed.version, $10, $11
      from changed, found
     where (changed.role, changed.may_break_glass) <> (found.role, found.may_break_glass)
     union all
    select actor_id, case when changed.disabled then 'disable' else 'enable' end, 'user', changed.id, changed.version, $10, $11
      from changed, found
     where changed.disabled <> found.disabled
     union all
    select actor_id, 'profile_change', 'user', changed.id, changed.version, $10, $11
      from changed, found
     where (changed.name, changed.email) <> (found.name, found.email)
     union all
    select actor_id, 'session_end', 'session', ended.id, null, $10, $11 from ended, found
)
select true as matches, true as admin_remains, id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at,
       pg_notify('session_changes', 'user ' || id)::text as notified
  from changed
 union all
select matches, admin_remains, id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at, null
  from found
 where not exists (select from changed);

-- name: unlock(id bigint, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Runs after `lock`: resets the failed logins of an account, from every network, and its wrong codes. Locks the logins in the order of
-- `sessions.attempt`, and checks the actor after they are locked.
with found as (
    select id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at from users where id = $1
), failures as (
    select f.account, f.network
      from login_failures f
      join found on f.account = sha256(convert_to(found.email, 'UTF8'))
     order by f.network = '*', f.network
       for update of f
), actor as (
    select acting($2, $3, true) as id, locked.failures from (select count(*) as failures from failures) as locked
), forgotten as (
    delete from login_failures f using failures where f.account = failures.account and f.network = failures.network
), codes as (
    update totp_secrets t set wrong_codes = 0 from found, actor where t.user_id = found.id and t.wrong_codes > 0
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select actor.id, 'unlock', 'user', found.id, $4, $5 from actor, found
)
select id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at
  from found;

-- name: set_role(email text, role text) :opt write
-- Changes a role from the command line; the operator has no user id. No row: no such user.
with locked as (
    select id, email, role, disabled, version, account(users) as record
      from users
     where email = $1
        or (role = 'admin' and not disabled)
     order by id
       for no key update
), found as (
    select id, role, version, record,
           $2 = 'admin' or role <> 'admin' or disabled
           or exists (select from locked other where other.email <> $1 and other.role = 'admin' and not other.disabled)
           as admin_remains
      from locked
     where email = $1
), changed as (
    update users u
       set role = $2, version = u.version + 1, updated_at = now()
      from found
     where u.id = found.id
       and found.admin_remains
       and found.role <> $2
    returning u.id, u.version
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, ended_by, record)
    select 'user', found.id, found.version, found.id, 'update', record from changed, found
), audited as (
    insert into audit_entries (action, resource, resource_id, version)
    select 'role_change', 'user', id, version from changed
)
select admin_remains, changed.id as changed_id, pg_notify('session_changes', 'user ' || changed.id)::text as notified
  from found
  left join changed on true;
