-- One-time tokens, with which somebody who has no password, or has forgotten it, sets one. Their rows change only while the row of
-- their user is locked.

-- name: issue(id bigint, hash bytea, admin_seconds integer, invitation_seconds integer, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Runs after `users.lock`: a token that an admin hands to a user, in place of the earlier one. An account without a password gets
-- an invitation. No row: no such user. `disabled`: there is no token for this account.
with found as (
    select id, disabled, case when invited then 'invitation' else 'admin' end as purpose,
           now() + make_interval(secs => case when invited then $4 else $3 end) as expires_at
      from users
     where id = $1
), actor as (
    select acting($5, $6, true) as id
), issued as (
    insert into one_time_tokens as present (user_id, purpose, hash, expires_at)
    select found.id, purpose, $2, expires_at from found where not disabled
        on conflict (user_id, purpose) do update
       set hash = excluded.hash, created_at = now(), expires_at = excluded.expires_at
    returning user_id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select actor.id, 'reset_issue', 'user', issued.user_id, $7, $8 from actor, issued
)
select found.disabled, found.expires_at
  from found, actor;

-- name: issue_by_mail(id bigint, hash bytea, lifetime_seconds integer, pause_seconds integer, ip inet, request_id text) :opt write
-- Runs after `lock_by_email`: a token that is mailed to the account. No row: the account is disabled, or got one within the last
-- `pause_seconds`, which stays good.
with issued as (
    insert into one_time_tokens as present (user_id, purpose, hash, expires_at)
    select id, 'mail', $2, now() + make_interval(secs => $3) from users where id = $1 and not disabled
        on conflict (user_id, purpose) do update
       set hash = excluded.hash, created_at = now(), expires_at = excluded.expires_at
     where present.created_at <= now() - make_interval(secs => $4)
    returning user_id
), audited as (
    insert into audit_entries (action, resource, resource_id, ip, request_id)
    select 'reset_issue', 'user', user_id, $5, $6 from issued
)
select u.name, u.email
  from issued
  join users u on u.id = issued.user_id;

-- name: find(hash bytea) :opt
-- The account of a good token.
select u.email
  from one_time_tokens t
  join users u on u.id = t.user_id
 where t.hash = $1
   and t.expires_at > now()
   and not u.disabled;

-- name: lock_by_token(hash bytea) :opt write
-- Runs first in the transaction of `redeem`, which then sees everything that has ended the token.
select u.id
  from users u
  join one_time_tokens t on t.user_id = u.id
 where t.hash = $1
   for no key update of u;

-- name: redeem(hash bytea, password_hash text, ip inet, request_id text) :opt write
-- Runs after `lock_by_token`: uses the token up and sets the password, so that of two uses at once one succeeds. All tokens and
-- sessions of the account end, and its failed logins are forgotten, which are locked in the order of `sessions.attempt`. No row: the
-- token is not good.
with account as (
    select u.id, u.email
      from one_time_tokens t
      join users u on u.id = t.user_id
     where t.hash = $1
       and t.expires_at > now()
       and not u.disabled
), changed as (
    update users u
       set password_hash = $2, version = u.version + 1, updated_at = now()
      from account
     where u.id = account.id
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, ended_by, actor_id, record)
    select 'user', u.id, u.version, u.id, 'update', account.id, account(u) from account join users u on u.id = account.id
), spent as (
    update one_time_tokens t set hash = null from account where t.user_id = account.id and t.hash is not null
), failures as (
    select f.account, f.network
      from login_failures f
      join account on f.account = sha256(convert_to(account.email, 'UTF8'))
     order by f.network = '*', f.network
       for update of f
), forgotten as (
    delete from login_failures f using failures where f.account = failures.account and f.network = failures.network
), codes as (
    update totp_secrets t set wrong_codes = 0 from account where t.user_id = account.id and t.wrong_codes > 0
), ended as (
    update sessions set ended_at = now() from account where user_id = account.id and ended_at is null returning sessions.id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select id, 'password_reset', 'user', id, $3, $4 from account
     union all
    select account.id, 'session_end', 'session', ended.id, $3, $4 from ended, account
)
select id, pg_notify('session_changes', 'user ' || id)::text as notified
  from account;

-- name: lock_by_email(email text) :opt write
-- Runs first in the transaction of a command or of a mail: the next statement then sees every session that was created or ended before.
select id, disabled
  from users
 where email = $1
   for no key update;

-- name: set_password(id bigint, password_hash text) :one write
-- Runs after `lock_by_email`: the same as `redeem` by the operator, who has no user id. A disabled account stays disabled.
with changed as (
    update users u set password_hash = $2, version = u.version + 1, updated_at = now() where u.id = $1 returning u.id, u.email
), kept as (
    insert into record_versions (resource, record_id, version, owner_id, ended_by, actor_id, record)
    select 'user', u.id, u.version, u.id, 'update', null, account(u) from changed join users u on u.id = changed.id
), spent as (
    update one_time_tokens t set hash = null from changed where t.user_id = changed.id and t.hash is not null
), failures as (
    select f.account, f.network
      from login_failures f
      join changed on f.account = sha256(convert_to(changed.email, 'UTF8'))
     order by f.network = '*', f.network
       for update of f
), forgotten as (
    delete from login_failures f using failures where f.account = failures.account and f.network = failures.network
), codes as (
    update totp_secrets t set wrong_codes = 0 from changed where t.user_id = changed.id and t.wrong_codes > 0
), ended as (
    update sessions set ended_at = now() from changed where user_id = changed.id and ended_at is null returning sessions.id
), audited as (
    insert into audit_entries (action, resource, resource_id)
    select 'password_reset', 'user', id from changed
     union all
    select 'session_end', 'session', id from ended
)
select (select count(*) from ended) as ended, pg_notify('session_changes', 'user ' || id)::text as notified
  from changed;
