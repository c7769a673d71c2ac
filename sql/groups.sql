-- Care groups and their members. A change of the members changes what all of them may see, so it notifies every node of all of them.

-- name: create(name text, actor_id bigint, session_id bigint, ip inet, request_id text) :one write
-- conflict care_groups_name_key: A care group with this name already exists
with created as (
    insert into care_groups (name) values ($1)
    returning id, name, version, created_at, updated_at
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, ip, request_id)
    select acting($2, $3, true), 'create', 'care_group', id, $4, $5 from created
)
select id, name, version, created_at, updated_at
  from created;

-- name: list(after_id bigint, page_size bigint) :many
select id, name, version, created_at, updated_at
  from care_groups
 where id > $1
 order by id
 limit $2;

-- name: find(id bigint) :opt
select id, name, version, created_at, updated_at
  from care_groups
 where id = $1;

-- name: update(id bigint, name text, versions text[], actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- conflict care_groups_name_key: A care group with this name already exists
-- Writes nothing if the name is the same. No row: no such group. `matches` false: the record is at none of `versions`.
with found as (
    select id, name, version, created_at, updated_at, $3 is null or version::text = any ($3) as matches,
           to_jsonb(g) - 'version' - 'lower_name' as before
      from care_groups g
     where id = $1
       for no key update
), changed as (
    update care_groups g
       set name = $2, version = g.version + 1, updated_at = now()
      from found
     where g.id = found.id
       and found.matches
       and found.name <> $2
    returning g.id, g.name, g.version, g.created_at, g.updated_at
), kept as (
    insert into record_versions (resource, record_id, version, ended_by, actor_id, record)
    select 'care_group', found.id, found.version, 'update', $4, before from changed, found
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, version, ip, request_id)
    select acting($4, $5, true), 'update', 'care_group', id, version, $6, $7 from changed
)
select true as matches, id, name, version, created_at, updated_at
  from changed
 union all
select matches, id, name, version, created_at, updated_at
  from found
 where not exists (select from changed);

-- name: lock(id bigint, user_id bigint) :opt write
-- Runs first in a transaction that changes the members or deletes the group: the next statement then sees every member that was
-- added before, to the group and, if there is a user, to other groups of the user. No row: no such group.
with member as (
    select id from users where id = $2 for no key update
)
select g.id
  from (select count(*) as members from member) as locked
  join care_groups g on g.id = $1
   for update of g;

-- name: delete(id bigint, force boolean, versions text[], actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Runs after `lock`. `is_needed`: a member owns patients, and the group stays unless `force` is true.
with found as (
    select id, version, $3 is null or version::text = any ($3) as matches, to_jsonb(g) - 'version' - 'lower_name' as before,
           not $2 and exists (select
                                from care_group_members m
                               where m.group_id = g.id
                                 and exists (select from patients where created_by = m.user_id)) as is_needed
      from care_groups g
     where id = $1
), removed as (
    delete from care_group_members m using found where m.group_id = found.id and matches and not is_needed
    returning m.user_id
), told as (
    select pg_notify('session_changes', 'user ' || string_agg(user_id::text, ',')) from removed having count(*) > 0
), deleted as (
    delete from care_groups g using found where g.id = found.id and matches and not is_needed
    returning g.id
), kept as (
    insert into record_versions (resource, record_id, version, ended_by, actor_id, record)
    select 'care_group', deleted.id, version, 'delete', $4, before from deleted, found
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, resource_ids, version, ip, request_id)
    select acting($4, $5, true), 'unshare', 'care_group', deleted.id, array[user_id], null, $6, $7 from deleted, removed
     union all
    select acting($4, $5, true), 'delete', 'care_group', deleted.id, null, version + 1, $6, $7 from deleted, found
)
select matches, is_needed, (select array_agg(user_id) from removed) as members, (select count(*) from told) as told
  from found;

-- name: members(group_id bigint, after_id bigint, page_size bigint) :many
-- No row: no such group. One row with a null user_id: a group without members.
select m.user_id, u.name, u.email, u.disabled, m.added_by, m.added_at
  from care_groups g
  left join lateral (
           select user_id, added_by, added_at
             from care_group_members
            where group_id = g.id
              and user_id > $2
            order by user_id
            limit $3) m on true
  left join users u on u.id = m.user_id
 where g.id = $1
 order by m.user_id;

-- name: add(group_id bigint, user_id bigint, most_members bigint, most_groups bigint, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Runs after `lock`. Writes nothing if the user is a member already. No row: no such group or user. `group_is_full`,
-- `user_is_full`: one of the two limits is reached.
with found as (
    select g.id, u.id as user_id, u.name, u.email, u.disabled,
           exists (select from care_group_members where group_id = $1 and user_id = $2) as is_member,
           (select count(*) from care_group_members where group_id = $1) >= $3 as group_is_full,
           (select count(*) from care_group_members where user_id = $2) >= $4 as user_is_full
      from care_groups g, users u
     where g.id = $1
       and u.id = $2
), added as (
    insert into care_group_members (group_id, user_id, added_by)
    select id, user_id, $5 from found where not is_member and not group_is_full and not user_is_full
    returning group_id, user_id, added_by, added_at
), affected as (
    select user_id from added
     union all
    select m.user_id from added join care_group_members m on m.group_id = added.group_id
), told as (
    select pg_notify('session_changes', 'user ' || string_agg(user_id::text, ',')) from affected having count(*) > 0
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, resource_ids, ip, request_id)
    select acting($5, $6, true), 'share', 'care_group', group_id, array[user_id], $7, $8 from added
)
select found.user_id, name, email, disabled, coalesce(added.added_by, member.added_by) as added_by,
       coalesce(added.added_at, member.added_at) as added_at, not is_member and group_is_full as group_is_full,
       not is_member and user_is_full as user_is_full, (select array_agg(user_id) from affected) as affected,
       (select count(*) from told) as told
  from found
  left join added on true
  left join care_group_members member on member.group_id = found.id and member.user_id = found.user_id;

-- name: remove(group_id bigint, user_id bigint, force boolean, actor_id bigint, session_id bigint, ip inet, request_id text) :opt write
-- Runs after `lock`. No row: no such member. `is_needed`: the member owns patients, and stays unless `force` is true.
with found as (
    select group_id, user_id, not $3 and exists (select from patients where created_by = $2) as is_needed
      from care_group_members
     where group_id = $1
       and user_id = $2
), affected as (
    select m.user_id from found join care_group_members m on m.group_id = found.group_id where not is_needed
), told as (
    select pg_notify('session_changes', 'user ' || string_agg(user_id::text, ',')) from affected having count(*) > 0
), removed as (
    delete from care_group_members m using found
     where m.group_id = found.group_id
       and m.user_id = found.user_id
       and not is_needed
    returning m.group_id, m.user_id
), audited as (
    insert into audit_entries (actor_id, action, resource, resource_id, resource_ids, ip, request_id)
    select acting($4, $5, true), 'unshare', 'care_group', group_id, array[user_id], $6, $7 from removed
)
select is_needed, (select array_agg(user_id) from affected) as affected, (select count(*) from told) as told
  from found;

-- name: mine(user_id bigint) :many
-- The groups of a user, each with its members: a row for each member.
select g.id, g.name, u.id as user_id, u.name as user_name
  from care_group_members mine
  join care_groups g on g.id = mine.group_id
  join care_group_members m on m.group_id = g.id
  join users u on u.id = m.user_id
 where mine.user_id = $1
 order by g.id, u.id;
