-- Sessions: a login creates one, a refresh renews it, a logout ends it. Also the count of failed logins that locks an account.

-- name: attempt(email text, network text, max_failures integer, max_failures_total integer, lock_seconds integer, has_place boolean, max_wrong_codes integer) :one write
-- Counts the attempt as failed before the password is checked: for the network, unless it `has_place` there from an earlier try, and then in
-- total. So however many logins run at once, no more passwords are checked than the limits allow. A success resets the count, and
-- `record_failure` turns a full count into a lock; a full count without a lock ends just as late.
with in_network as (
    insert into login_failures as f (account, network, failures)
    select sha256(convert_to($1, 'UTF8')), $2, 1 where not $6
        on conflict (account, network) do update
       set failures = case when f.locked_until is null and f.failures < $3 then f.failures + 1 else 1 end,
           locked_until = null,
           last_failed_at = now()
     where (f.locked_until is null and f.failures < $3)
        or coalesce(f.locked_until, f.last_failed_at + make_interval(secs => $5)) <= now()
    returning account
), placed as (
    select account from in_network
     union all
    select sha256(convert_to($1, 'UTF8')) where $6
), in_total as (
    insert into login_failures as f (account, network, failures)
    select account, '*', 1 from placed
        on conflict (account, network) do update
       set failures = case when f.locked_until is null and f.failures < $4 then f.failures + 1 else 1 end,
           locked_until = null,
           last_failed_at = now()
     where (f.locked_until is null and f.failures < $4)
        or coalesce(f.locked_until, f.last_failed_at + make_interval(secs => $5)) <= now()
    returning account
), decided as (
    select from login_failures
     where account = sha256(convert_to($1, 'UTF8'))
       and network in ($2, '*')
       and coalesce(locked_until, last_failed_at + make_interval(secs => $5)) > now()
       and (locked_until is not null
            or (failures >= case network when '*' then $4 else $3 end and last_failed_at < now() - interval '10 seconds'))
)
select in_total.account is not null as allowed,
       -- There was no place, but those who took the places may still be checking their passwords, which never takes ten seconds.
       in_total.account is null and not exists (select from decided) as undecided,
       exists (select from placed) as has_place, users.id, users.password_hash,
       -- The account is disabled, or had too many wrong codes of its second factor.
       users.disabled or coalesce(totp_secrets.wrong_codes >= $7, false) as closed,
       -- The highest cost of any stored hash, whose time every check takes; served by users_hash_cost_idx.
       (select max(substr(password_hash, 5, 2)) from users) as most_expensive
  from (select) as always
  left join in_total on true
  left join users on users.email = $1
  left join totp_secrets on totp_secrets.user_id = users.id;

-- name: record_failure(user_id bigint, email text, network text, max_failures integer, max_failures_total integer, lock_seconds integer, ip inet, request_id text) :exec write
-- A refused login: its audit entry, and, if the count is full, the lock and its audit entry. `user_id` null: no such user. The
-- rows are locked in the order of `attempt`.
with full_counts as (
    select account, network
      from login_failures
     where account = sha256(convert_to($2, 'UTF8'))
       and (network = $3 and failures >= $4 or network = '*' and failures >= $5)
       and locked_until is null
     order by network = '*'
       for update
), locked as (
    update login_failures f
       set locked_until = now() + make_interval(secs => $6), last_failed_at = now()
      from full_counts
     where f.account = full_counts.account
       and f.network = full_counts.network
    returning f.network
)
insert into audit_entries (action, resource, resource_id, outcome, ip, request_id)
select 'login_failed', 'user', $1, 'failed', $7, $8
 union all
select 'lock', 'user', $1, 'failed', $7, $8 where exists (select from locked);

-- name: take_back(email text, network text) :exec write
-- The password was right and a code is missing: the attempt, which was counted as failed, does not count. Locked in the order of
-- `attempt`.
with counted as (
    select account, network, failures
      from login_failures
     where account = sha256(convert_to($1, 'UTF8'))
       and network in ($2, '*')
       and locked_until is null
     order by network = '*'
       for update
), lowered as (
    update login_failures f
       set failures = f.failures - 1
      from counted
     where f.account = counted.account
       and f.network = counted.network
       and f.failures > 1
)
delete from login_failures f
 using counted
 where f.account = counted.account
   and f.network = counted.network
   and f.failures <= 1;

-- name: forget_failures(email text, network text) :exec write
-- After a password was right where nobody logs in: resets the count, which it locks in the order of `attempt`.
with failures as (
    select account, network
      from login_failures
     where account = sha256(convert_to($1, 'UTF8'))
       and network in ($2, '*')
     order by network = '*'
       for update
)
delete from login_failures f using failures where f.account = failures.account and f.network = failures.network;

-- name: create(user_id bigint, old_hash text, new_hash text, refresh_hash bytea, user_agent text, ip inet, network text, lifetime_seconds integer, idle_seconds integer, max_sessions bigint, request_id text) :opt write
-- A successful login; runs after `users.lock`. Resets the failures, which it locks in the order of `attempt`, stores a stronger
-- hash if one is given, ends the sessions beyond the limit (those unused longest), and creates the new one. No row: the account
-- is disabled, or the password was changed meanwhile.
with account as (
    select id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at, updated_at
      from users
     where id = $1
       and password_hash = $2
       and not disabled
), rehashed as (
    update users set password_hash = $3 from account where users.id = account.id and $3 is not null
), failures as (
    select f.account, f.network
      from login_failures f
      join account on f.account = sha256(convert_to(account.email, 'UTF8'))
     where f.network in ($7, '*')
     order by f.network = '*'
       for update of f
), forgotten as (
    delete from login_failures f using failures where f.account = failures.account and f.network = failures.network
), surplus as (
    select sessions.id
      from sessions
      join account on account.id = user_id
     where ended_at is null
       and expires_at > now()
       and last_used_at > now() - make_interval(secs => $9)
     order by last_used_at desc, sessions.id desc
    offset $10 - 1
), ended as (
    update sessions set ended_at = now() from surplus where sessions.id = surplus.id returning sessions.id
), created as (
    insert into sessions (user_id, user_agent, ip, expires_at)
    select id, $5, $6, now() + make_interval(secs => $8) from account
    returning id, expires_at
), token as (
    insert into refresh_tokens (hash, session_id) select $4, id from created
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select $1, 'login', 'session', id, $6, $11 from created
     union all
    select $1, 'session_end', 'session', id, $6, $11 from ended
)
select created.id as session_id, created.expires_at, account.id, name, email, role, disabled, invited, totp, may_break_glass, version, created_at,
       updated_at,
       (select count(pg_notify('session_changes', 'session ' || ended.id)) from ended) as ended
  from created, account;

-- name: lock_by_token(hash bytea) :opt write
-- Runs first in the transaction of a refresh: the next statement then sees everything that earlier refreshes of the session have
-- written.
select s.id
  from sessions s
  join refresh_tokens t on t.session_id = s.id
 where t.hash = $1
   for update of s;

-- name: refresh(hash bytea, new_hash bytea, retry_seconds integer, idle_seconds integer, ip inet, request_id text) :opt write
-- Runs after `lock_by_token`: trades a refresh token for a new one, which from then on is the only valid one of the session. A
-- token that was used within the last `retry_seconds` is traded again, as long as its successor has not been used: an answer was
-- lost, or two tabs of a browser refreshed at the same time. Any other use of a token that was used or replaced ends the session
-- (`reused`), because somebody else has the token too. No row: no such token, or its session is over.
with found as (
    select t.hash, t.session_id, s.user_id, s.expires_at,
           t.replaced_at is not null
           or t.used_at is not null
              and (t.used_at <= now() - make_interval(secs => $3)
                   or not exists (select
                                    from refresh_tokens next
                                   where next.session_id = t.session_id
                                     and next.parent = t.hash
                                     and next.used_at is null
                                     and next.replaced_at is null))
           as reused
      from refresh_tokens t
      join sessions s on s.id = t.session_id
      join users u on u.id = s.user_id
     where t.hash = $1
       and s.ended_at is null
       and s.expires_at > now()
       and s.last_used_at > now() - make_interval(secs => $4)
       and not u.disabled
), used as (
    update refresh_tokens t
       set used_at = coalesce(t.used_at, now())
      from found
     where t.hash = found.hash
       and not found.reused
), replaced as (
    update refresh_tokens t
       set replaced_at = now()
      from found
     where t.session_id = found.session_id
       and t.hash <> found.hash
       and t.used_at is null
       and t.replaced_at is null
       and not found.reused
), renewed as (
    insert into refresh_tokens (hash, session_id, parent) select $2, session_id, hash from found where not reused
), touched as (
    update sessions s
       set last_used_at = now(), ended_at = case when found.reused then now() end
      from found
     where s.id = found.session_id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, outcome, ip, request_id)
    select user_id, 'refresh_reuse', 'session', session_id, 'failed', $5, $6 from found where reused
     union all
    select user_id, 'session_end', 'session', session_id, 'success', $5, $6 from found where reused
)
select found.reused, found.session_id, found.expires_at, u.id, u.name, u.email, u.role, u.disabled, u.invited, u.totp, u.may_break_glass, u.version,
       u.created_at, u.updated_at,
       case when found.reused then pg_notify('session_changes', 'session ' || found.session_id)::text end as notified
  from found
  join users u on u.id = found.user_id;

-- name: state(id bigint, idle_seconds integer) :opt
-- The state of a session, for the token check. No row: it has ended. `colleagues`: the user, first, and the members of the user's
-- care groups; null if the user is in none and no patient of somebody else is granted to the user.
select s.user_id, u.role, u.may_break_glass, s.expires_at,
       (select s.user_id || coalesce(array_agg(distinct other.user_id), '{}')
          from care_group_members mine
          join care_group_members other on other.group_id = mine.group_id and other.user_id <> mine.user_id
         where mine.user_id = s.user_id
        having count(*) > 0
            or exists (select
                         from patient_grants g
                        where g.user_id = s.user_id
                          and g.ended_at is null
                          and coalesce(g.expires_at > now(), true))) as colleagues
  from sessions s
  join users u on u.id = s.user_id
 where s.id = $1
   and s.ended_at is null
   and s.expires_at > now()
   and s.last_used_at > now() - make_interval(secs => $2)
   and not u.disabled;

-- name: touch(ids bigint[]) :exec write
-- Records that these sessions were used; called in batches. It waits for no lock: a locked session is being renewed or ended
-- anyway.
with used as (
    select id from sessions where id = any ($1) and ended_at is null for no key update skip locked
)
update sessions set last_used_at = now() from used where sessions.id = used.id;

-- name: list(user_id bigint, idle_seconds integer, session_id bigint) :many
select id, created_at, last_used_at, least(expires_at, last_used_at + make_interval(secs => $2)) as expires_at, user_agent, ip,
       id = $3 as current
  from sessions
 where user_id = $1
   and ended_at is null
   and expires_at > now()
   and last_used_at > now() - make_interval(secs => $2)
 order by id;

-- name: end(id bigint, user_id bigint, action text, ip inet, request_id text) :opt write
-- Ends one session of the user; `action` is `logout` for the session of the request, `session_end` for another one.
with ended as (
    update sessions
       set ended_at = now()
     where id = $1
       and user_id = $2
       and ended_at is null
    returning id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select $2, $3, 'session', id, $4, $5 from ended
)
select id, pg_notify('session_changes', 'session ' || id)::text as notified
  from ended;

-- name: end_all(user_id bigint, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Runs after `users.lock`: ends every session of a user. The actor is checked after all the sessions are locked and before the
-- actor's own may end. No row: no such user.
with found as (
    select id from users where id = $1
), live as (
    select sessions.id
      from sessions
      join found on found.id = user_id
     where ended_at is null
     order by sessions.id
       for no key update of sessions
), actor as (
    select acting($2, $3, true) as id, locked.sessions from (select count(*) as sessions from live) as locked
), ended as (
    update sessions set ended_at = now() from live, actor where sessions.id = live.id returning sessions.id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select actor.id, 'session_end', 'session', ended.id, $4, $5 from ended, actor
)
select found.id, pg_notify('session_changes', 'user ' || found.id)::text as notified, actor.sessions as ended
  from found, actor;

-- name: prune_tokens(most bigint) :one write
-- Removes refresh tokens of the sessions that `prune` will remove next. Served by sessions_over_idx and, session by session,
-- refresh_tokens_session_id_idx.
with over as (
    select id
      from sessions
     where coalesce(ended_at, expires_at) < now() - interval '30 days'
     order by coalesce(ended_at, expires_at), id
     limit $1
), removed as (
    delete from refresh_tokens
     where hash in (select t.hash
                      from over, lateral (select hash from refresh_tokens where session_id = over.id limit $1) as t
                     limit $1)
    returning hash
)
select count(*) as removed from removed;

-- name: prune(most bigint) :one write
-- Removes sessions that ended more than a month ago, the earliest first. Served by sessions_over_idx.
with over as (
    select id
      from sessions
     where coalesce(ended_at, expires_at) < now() - interval '30 days'
     order by coalesce(ended_at, expires_at), id
     limit $1
       for update skip locked
), removed as (
    delete from sessions s using over where s.id = over.id
    returning s.id
)
select count(*) as removed from removed;

-- name: prune_failures(most bigint) :one write
-- Removes failures of accounts to which nobody has tried to log in for a week. Served by login_failures_last_failed_at_idx.
with over as (
    select account, network
      from login_failures
     where last_failed_at < now() - interval '7 days'
       and coalesce(locked_until, now()) <= now()
     order by last_failed_at
     limit $1
       for update skip locked
), removed as (
    delete from login_failures f using over where f.account = over.account and f.network = over.network
    returning f.account
)
select count(*) as removed from removed;
