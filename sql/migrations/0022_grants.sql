-- Grants: one patient for one user who is neither the owner nor a colleague. A share is made for somebody else; emergency access is taken.

create table patient_grants (
    id          bigint generated always as identity primary key,
    -- No foreign key: what was granted is remembered when the patient is gone. A delete ends the grants.
    patient_id  bigint not null,
    user_id     bigint not null references users (id),
    kind        text not null check (kind in ('share', 'emergency')),
    can_change  boolean not null default false,
    granted_by  bigint not null,
    reason      text,
    granted_at  timestamptz not null default now(),
    expires_at  timestamptz,
    ended_at    timestamptz,
    reviewed_at timestamptz,
    reviewed_by bigint,
    verdict     text check (verdict in ('justified', 'unjustified')),
    review_note text,
    check (kind = 'share' or (reason is not null and expires_at is not null and not can_change and granted_by = user_id)),
    check (reviewed_by is null or reviewed_by <> user_id)
);

create index patient_grants_open_idx on patient_grants (user_id, patient_id) where ended_at is null;
create index patient_grants_patient_id_idx on patient_grants (patient_id) where ended_at is null;

-- What a user is granted of a patient who belongs to none of the owners; the user is the first of these. A share counts before emergency
-- access, the right to change before that to read, and then what lasts longest. Without owners (an admin) nothing is looked for.
create function live_grant(owners bigint[], owner bigint, patient bigint)
    returns table (id bigint, kind text, can_change boolean, expires_at timestamptz) language sql stable rows 1 as $$
    select g.id, g.kind, g.can_change, g.expires_at
      from patient_grants g
     where not owner = any (owners)
       and g.patient_id = patient
       and g.user_id = owners[1]
       and g.ended_at is null
       and coalesce(g.expires_at > now(), true)
     order by g.kind = 'emergency', not g.can_change, g.expires_at desc, g.id desc
     limit 1
$$;

-- The patients that are shared with the first of these owners and belong to none of them.
create function shared_patients(owners bigint[]) returns setof patients language sql stable rows 10 as $$
    select p.*
      from patient_grants g
      join patients p on p.id = g.patient_id
     where g.user_id = owners[1]
       and g.kind = 'share'
       and g.ended_at is null
       and coalesce(g.expires_at > now(), true)
       and not p.created_by = any (owners)
$$;

-- The same as `acting`, for a change of a patient of this owner or of a mapping of that patient. The owners are those whom the request may
-- act for as its node remembers, null for an admin; the database has the last word. `patient` null: a grant is not enough.
create function acting_for(actor bigint, session bigint, owners bigint[], owner bigint, patient bigint)
    returns bigint language plpgsql volatile as $$
begin
    perform acting(actor, session, owners is null);
    if owners is not null and owner <> actor
       and not exists (select
                         from care_group_members mine
                         join care_group_members other on other.group_id = mine.group_id
                        where mine.user_id = actor
                          and other.user_id = owner)
       and not exists (select
                         from patient_grants g
                        where g.patient_id = patient
                          and g.user_id = actor
                          and g.can_change
                          and g.ended_at is null
                          and coalesce(g.expires_at > clock_timestamp(), true)) then
        raise exception 'the actor may not change this patient any more' using errcode = 'HC404';
    end if;
    return actor;
end
$$;

-- The filters of a list of patients, null where they are absent; the statements that use them are planned for their values. `searched`
-- finds candidates by their trigrams for the filters of text as well. The first word is the longest: from three characters on, it has
-- trigrams. `coalesce` keeps the planner from believing that hardly a record has all the words.
create function word_patterns(text[]) returns text[] language sql immutable parallel safe return
    array(select word_pattern(word) from unnest($1) as word);

create function is_wanted(patients, name_part text, gender text, date_of_birth date, words text[])
    returns boolean language sql stable parallel safe as $$
    select ($2 is null or (searched(($1).name, ($1).email, ($1).phone, null, null) like any_part($2) and folded(($1).name) like any_part($2)))
       and ($3 is null or ($1).gender = $3)
       and ($4 is null or ($1).date_of_birth = $4)
       and ($5 is null
            or ((char_length($5[1]) < 3 or searched(($1).name, ($1).email, ($1).phone, null, null) ~ word_pattern($5[1]))
                and coalesce(searched(($1).name, ($1).email, ($1).phone, null, null) ~ all (word_patterns($5)), false)))
$$;

-- A transfer moves the mappings of a patient to the new owner.
alter table mappings
    drop constraint mappings_patient_id_fkey,
    add constraint mappings_patient_id_fkey
        foreign key (patient_id, created_by) references patients (id, created_by) on update cascade;
