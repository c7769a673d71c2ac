-- The audit trail. Changes write their entries in their own statements; here are the entries of reads and refusals, which
-- arrive in batches, and the page that an admin reads.

-- name: record(at timestamptz[], actor_id bigint[], action text[], resource text[], resource_id bigint[], resource_ids text[], outcome text[], ip inet[], request_id text[]) :exec
-- A batch, in the order in which the events happened. Each list of ids is the text of an array, since unnest would flatten it.
insert into audit_entries (at, actor_id, action, resource, resource_id, resource_ids, outcome, ip, request_id)
select at, actor_id, action, resource, resource_id, resource_ids::bigint[], outcome, ip, request_id
  from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)
    as entry (at, actor_id, action, resource, resource_id, resource_ids, outcome, ip, request_id);

-- name: list(before_id bigint, page_size bigint, actor_id bigint, action text, resource text, resource_id bigint) :many planned
-- Newest first. A record is found by its own entries and by the lists that showed it. All kinds are named where none is asked for,
-- since the index begins with the kind.
select id, at, actor_id, action, resource, resource_id, resource_ids, outcome, ip, request_id, before
  from audit_entries
 where id < $1
   and ($3 is null or actor_id = $3)
   and ($4 is null or action = $4)
   and ($5 is null or resource = $5)
   and ($6 is null
        or (resource in ('user', 'session', 'patient', 'doctor', 'mapping') and resource_id = $6)
        or resource_ids @> array[$6])
 order by id desc
 limit $2;
