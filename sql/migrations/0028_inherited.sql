-- A transfer takes deleted records along: of the version that a deletion ended, the owner can change, and nothing else but the erasure of
-- the record. It is the owner who sees the record among the deleted ones, sees its history and brings it back.

create or replace function refuse_version_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if old.ended_by = 'delete' and new.owner_id is distinct from old.owner_id then
            old.owner_id := new.owner_id;
        else
            old.record := null;
        end if;
        if new is not distinct from old then
            return new;
        end if;
    end if;
    raise exception 'versions are never changed or removed; only their record can be erased, and deleted ones change their owner';
end
$$;

-- The deleted mappings of patients who were transferred before.
update record_versions v
   set owner_id = p.created_by
  from patients p
 where v.resource = 'mapping'
   and v.ended_by = 'delete'
   and p.id = v.patient_id
   and v.owner_id <> p.created_by
   and not exists (select
                     from record_versions later
                    where later.resource = 'mapping'
                      and later.record_id = v.record_id
                      and later.version = v.version + 1);
