-- Emergency access is loud: what a user sees only by it says so, and is recorded whatever else is.

-- As before (0022_grants.sql), and for emergency access the grant and its end, which stand in a header of the answer.
drop function live_grant(bigint[], bigint, bigint);
create function live_grant(owners bigint[], owner bigint, patient bigint)
    returns table (id bigint, kind text, can_change boolean, expires_at timestamptz, emergency jsonb) language sql stable rows 1 as $$
    select g.id, g.kind, g.can_change, g.expires_at,
           case when g.kind = 'emergency' then jsonb_build_object('id', g.id, 'until', g.expires_at) end
      from patient_grants g
     where not owner = any (owners)
       and g.patient_id = patient
       and g.user_id = owners[1]
       and g.ended_at is null
       and coalesce(g.expires_at > now(), true)
     order by g.kind = 'emergency', not g.can_change, g.expires_at desc, g.id desc
     limit 1
$$;

-- Rows of before follow the narrower rule, so they need not be looked at.
alter table audit_batches
    drop constraint audit_batches_action_check,
    add check (action in ('read', 'list', 'denied', 'emergency_read')) not valid;

-- The lists of an admin, and the count of those that nobody has reviewed.
create index patient_grants_emergency_idx on patient_grants (id) where kind = 'emergency';
create index patient_grants_unreviewed_idx on patient_grants (id) where kind = 'emergency' and reviewed_at is null;
