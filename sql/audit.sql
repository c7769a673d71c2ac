-- The audit trail. Changes write their entries in their own statements. This file has the statement for reads, lists and
-- refusals, which arrive in batches, and the page that an admin reads.

-- name: record(action text, resource text, at timestamptz[], actor_id bigint[], resource_id bigint[], resource_ids text[], ip inet[], request_id text[], record_ids bigint[]) :exec write
-- One row for all entries of a kind, in the order in which they happened. Its id is the first of 1,000 ids that no other row
-- gets.
with batch as (
    insert into audit_batches (action, resource, at, actor_id, resource_id, resource_ids, ip, request_id, record_ids)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    returning id)
insert into audit_batch_actors (actor_id, batch_id)
select distinct actor.id, batch.id
  from batch, unnest($4) as actor (id);

-- name: export(resource text) :exec write
-- A file of records, made by the operator. The entry names no records, however many there are.
insert into audit_entries (action, resource)
values ('list', $1);

-- name: list(before_id bigint, page_size bigint, actor_id bigint, action text, resource text, resource_id bigint, from_time timestamptz, until_time timestamptz) :many planned
-- Newest first: a page of the entries that are rows, a page of those in batches, and of both the newest. A record is found by its own entries
-- and by the lists that showed it. `before` is the version that a change replaced; a create makes version 1, which its entry does not repeat.
with period as materialized (
    -- Ids come in the order of writing, and each entry is written within a day of its time. So a period is also a range of ids, and the page
    -- walks neither through what is newer nor to the end of the trail.
    select coalesce((select id from audit_entries where at < $7 - interval '1 day' order by at desc limit 1), 0) as after_id,
           coalesce((select id from audit_entries where at >= $8 + interval '1 day' order by at limit 1), $1) as before_id,
           coalesce($7 - interval '1 minute', '-infinity') as from_time
)
select id, at, page.actor_id, action, page.resource, resource_id, resource_ids, page.version, outcome, ip, request_id,
       was.record as before
  from ((select id, at, actor_id, action, resource, resource_id, resource_ids,
                case action when 'create' then 1 else version end as version, outcome, ip, request_id
           from audit_entries
          where id < $1
            and ($7 is null or id > (select after_id from period))
            and ($8 is null or id < (select before_id from period))
            and ($7 is null or at >= $7)
            and ($8 is null or at < $8)
            and ($3 is null or actor_id = $3)
            and ($4 is null or action = $4)
            and ($5 is null or resource = $5)
            -- All kinds are listed, because the index begins with the kind.
            and ($6 is null
                 or (resource in ('user', 'session', 'patient', 'doctor', 'mapping', 'care_group', 'grant', 'audit')
                     and resource_id = $6)
                 or resource_ids @> array[$6])
          order by id desc
          limit $2)
        union all
        (select batch.id + entry.place - 1, entry.at, entry.actor_id, batch.action, batch.resource, entry.resource_id,
                entry.resource_ids::bigint[], null, case batch.action when 'denied' then 'forbidden' else 'success' end,
                entry.ip, entry.request_id
           -- First the batches, of everybody or of one user (only one branch runs), then their entries, until the page is full. Each batch has
           -- a matching entry, except the one that `before_id` cuts, so one batch more than the page has is enough. There is no limit with a
           -- period, which may begin or end within a batch, nor with a record: record and user may be in different entries, and the planner
           -- would look for a rarely seen record among the newest batches.
           from ((select id, action, resource, at, actor_id, resource_id, resource_ids, ip, request_id
                    from audit_batches
                   where $3 is null
                     and id < $1
                     -- A day has many more batches than an hour, so their times count too (audit_batches_times_idx); earlier programs were
                     -- wrong by less than a minute in their order. Whichever end a period has, ids and times get a lower bound: with both, the
                     -- planner expects few batches and walks through their index; with one, it would read half of the trail and sort it, or
                     -- each batch of the day behind `until`.
                     and (($7 is null and $8 is null) or id > (select after_id from period))
                     and ($8 is null or id < (select before_id from period))
                     and (($7 is null and $8 is null) or at[cardinality(at)] >= (select from_time from period))
                     and ($8 is null or at[1] < $8 + interval '1 minute')
                     and ($4 is null or action = $4)
                     and ($5 is null or resource = $5)
                     and ($6 is null or record_ids @> array[$6])
                   order by id desc
                   limit case when $6 is null and $7 is null and $8 is null then $2 + 1 end)
                 union all
                 (select id, action, resource, at, batch.actor_id, resource_id, resource_ids, ip, request_id
                    from audit_batch_actors as who
                    join audit_batches as batch on batch.id = who.batch_id
                   where who.actor_id = $3
                     and who.batch_id < $1
                     and ($7 is null or who.batch_id > (select after_id from period))
                     and ($8 is null or who.batch_id < (select before_id from period))
                     and id < $1
                     and ($4 is null or action = $4)
                     and ($5 is null or resource = $5)
                     and ($6 is null or record_ids @> array[$6])
                   order by id desc
                   limit case when $6 is null and $7 is null and $8 is null then $2 + 1 end)) as batch,
                unnest(batch.at, batch.actor_id, batch.resource_id, batch.resource_ids, batch.ip, batch.request_id)
                  with ordinality as entry (at, actor_id, resource_id, resource_ids, ip, request_id, place)
          where batch.id + entry.place - 1 < $1
            -- The planner underestimates a bare comparison and would open all batches and sort; `coalesce` prevents that.
            and coalesce(entry.at >= $7, true)
            and coalesce(entry.at < $8, true)
            and coalesce(entry.actor_id = $3, $3 is null)
            and ($6 is null
                 or coalesce(entry.resource_id = $6, entry.resource_ids::bigint[] @> array[$6], false))
          order by batch.id desc, entry.place desc
          limit $2)) as page
  left join record_versions as was
         on (was.resource, was.record_id, was.version) = (page.resource, page.resource_id, page.version - 1)
 order by id desc
 limit $2;
