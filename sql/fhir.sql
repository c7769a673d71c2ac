-- What only FHIR asks for: whether a record was deleted, the team of a patient, and searches. Records and histories are read by the
-- statements that `/api` reads them with.

-- name: installation() :one
select 'urn:uuid:' || id as system
  from installation;

-- name: gone(owners text[], resource text[], id bigint[]) :opt batched
-- The version in which there is no record any more, if it was deleted and belonged to one of these owners. Null owners: to anybody.
select q.number, last.version + 1 as version
  from unnest($1, $2, $3) with ordinality as q (owners, resource, record_id, number)
 cross join lateral deletion_of(q.resource, q.record_id) as last
 where q.owners is null
    or owner_id = any (q.owners::bigint[]);

-- name: team(owners text[], patient_id bigint[]) :opt batched
-- A patient, and the doctors with their mappings; null if there are none. The team changes with the patient, its mappings and its doctors,
-- and when somebody leaves it.
select q.number, p.*,
       case when not p.created_by = any (q.owners::bigint[])
            then (select g.emergency from live_grant(q.owners::bigint[], p.created_by, p.id) as g) end as emergency,
       (select jsonb_agg(to_jsonb(m) || jsonb_build_object('doctor', to_jsonb(d)) order by m.id)
          from mappings m
          join doctors d on d.id = m.doctor_id
         where m.patient_id = p.id) as team,
       (select greatest(p.updated_at, max(m.updated_at), max(d.updated_at),
                        (select max(ended_at) from record_versions where resource = 'mapping' and patient_id = p.id))
          from mappings m
          join doctors d on d.id = m.doctor_id
         where m.patient_id = p.id) as team_changed_at
  from unnest($1, $2) with ordinality as q (owners, patient_id, number)
  join patients p on p.id = q.patient_id
                 and (p.created_by = any (q.owners::bigint[])
                      or exists (select from live_grant(q.owners::bigint[], p.created_by, p.id)));

-- name: patients(owners bigint[], sort text, backwards boolean, after_id bigint, after_value text, page_size bigint, ids bigint[], names text[], telecoms text[], changed_from timestamptz[], changed_until timestamptz[], roles text[], with_total boolean, families text[], givens text[], exact_names text[], genders text[], born_from date[], born_until date[], addresses text[], doctors text[], of_teams boolean, of_histories boolean, with_team boolean) :many planned
-- One page of a search for patients, their teams or their histories: a page of each of several owners and of what is shared (see `search` in
-- patients.sql). A criterion that is null is not asked for; each element of another must be met. The first name only finds candidates in the
-- index of trigrams: what is shown as a space may be another character there. Times are ranges, the earliest first.
with matching as not materialized (
    select p.*,
           case when $22 or $24 then (select greatest(p.updated_at, max(m.updated_at), max(d.updated_at),
                                                      (select max(ended_at) from record_versions where resource = 'mapping' and patient_id = p.id))
                                        from mappings m
                                        join doctors d on d.id = m.doctor_id
                                       where m.patient_id = p.id) end as team_changed_at
      from patients p
     where ($7 is null or p.id = any ($7))
       and ($8 is null or $8[1] = '' or searched(p.name, p.email, p.phone, null, null) ~ replace(text_pattern($8[1]), '\ ', '.'))
       and ($8 is null or coalesce(folded(shown_name(p.name)) ~ all (array(select text_pattern(criterion) from unnest($8[2:]) as criterion)), false))
       and ($14 is null or coalesce(folded((name_parts(p.name, false))[2])
                                   ~ all (array(select text_pattern(criterion) from unnest($14) as criterion)), false))
       and ($15 is null or coalesce(folded(array_to_string((name_parts(p.name, false))[3:], E'\n'))
                                   ~ all (array(select text_pattern(criterion) from unnest($15) as criterion)), false))
       and ($16 is null
            or (select bool_and(string_to_array(substr(criterion, 3), E'\n')
                                && case left(criterion, 1) when 'n' then part when 'f' then part[2:2] else part[3:] end)
                  from name_parts(p.name, false) as part, unnest($16) as criterion))
       and ($9 is null
            or (searched(p.name, p.email, p.phone, null, null) ~ telecom_pattern($9[1])
                and coalesce((select bool_and(telecom_fits(p.phone, p.email, criterion)) from unnest($9) as criterion), false)))
       and ($17 is null or p.gender = any ($17))
       and ($18 is null or p.date_of_birth between $18[1] and $19[cardinality($19)])
       and ($18 is null
            or exists (select from unnest($18, $19) as range (start, stop) where p.date_of_birth >= start and p.date_of_birth < stop))
       and ($20 is null or coalesce(folded(shown_name(p.address)) ~ all (array(select text_pattern(criterion) from unnest($20) as criterion)), false))
       and ($21 is null or p.id = any (array(select patient_id from mappings where doctor_id = any (string_to_array($21[1], ',')::bigint[]))))
       and ($21 is null or cardinality($21) = 1
            or (select bool_and(exists (select from mappings m
                                         where m.patient_id = p.id and m.doctor_id = any (string_to_array(criterion, ',')::bigint[])))
                  from unnest($21) as criterion))
       and ($12 is null
            or p.id = any (array(select m.patient_id
                                   from mappings m
                                   join doctors d on d.id = m.doctor_id
                                  where lower(shown_name(d.specialization)) = any (string_to_array(lower($12[1]), E'\n')))))
       and ($12 is null or cardinality($12) = 1
            or (select bool_and(exists (select from mappings m
                                          join doctors d on d.id = m.doctor_id
                                         where m.patient_id = p.id
                                           and lower(shown_name(d.specialization)) = any (string_to_array(lower(criterion), E'\n'))))
                  from unnest($12) as criterion))
       and (not $22 or exists (select from mappings m where m.patient_id = p.id))
       and (not $23 or p.medical_history is not null)
), changed as not materialized (
    select matching.*, case $2 when 'name' then folded(name) when 'family' then folded((name_parts(name, false))[2]) end as text_key,
           case $2 when 'birthdate' then date_of_birth end as date_key,
           case $2 when '_lastUpdated' then case when $22 then team_changed_at else updated_at end end as time_key
      from matching
     where ($10 is null or case when $22 then team_changed_at else updated_at end between $10[1] and $11[cardinality($11)])
       and ($10 is null
            or exists (select from unnest($10, $11) as range (start, stop)
                        where case when $22 then team_changed_at else updated_at end >= start
                          and case when $22 then team_changed_at else updated_at end < stop))
), behind as not materialized (
    select *
      from changed
     where $4 is null
        or case when $2 in ('name', 'family') then case when $3 then (text_key, id) < (folded($5), $4) else (text_key, id) > (folded($5), $4) end
                when $2 = 'birthdate' then case when $3 then (date_key, id) < ($5::date, $4) else (date_key, id) > ($5::date, $4) end
                when $2 = '_lastUpdated' then case when $3 then (time_key, id) < ($5::timestamptz, $4) else (time_key, id) > ($5::timestamptz, $4) end
                when $3 then id < $4
                else id > $4
                end
)
select found.*, case when $13 then (select count(*) from changed where created_by = any ($1))
                                  + (select count(*) from changed where id in (select id from shared_patients($1))) end as total,
       case when $24 then (select jsonb_agg(to_jsonb(m) || jsonb_build_object('doctor', to_jsonb(d)) order by m.id)
                             from mappings m
                             join doctors d on d.id = m.doctor_id
                            where m.patient_id = found.id) end as team
  from (select page.*
          from unnest(case when cardinality($1) <> 1 then $1 else array[null::bigint] end) as owner (id)
         cross join lateral (
                   select *
                     from behind
                    where case when cardinality($1) = 1 then created_by = any ($1) else created_by = any (array[owner.id]) end
                    order by case when $3 then created_by end desc, case when not $3 then created_by end,
                             case when $3 then text_key end desc, case when not $3 then text_key end,
                             case when $3 then date_key end desc, case when not $3 then date_key end,
                             case when $3 then time_key end desc, case when not $3 then time_key end,
                             case when $3 then id end desc, id
                    limit $6) page
        union all
        select * from behind where id in (select id from shared_patients($1))) found
 order by case when $3 then text_key end desc, case when not $3 then text_key end,
          case when $3 then date_key end desc, case when not $3 then date_key end,
          case when $3 then time_key end desc, case when not $3 then time_key end,
          case when $3 then found.id end desc, found.id
 limit $6;

-- name: doctors(sort text, backwards boolean, after_id bigint, after_value text, page_size bigint, ids bigint[], names text[], telecoms text[], changed_from timestamptz[], changed_until timestamptz[], roles text[], with_total boolean, families text[], givens text[], exact_names text[], identifiers text[], licences text[], records bigint[]) :many planned
-- The same for the directory. An identifier is a licence number (l) or the id of a doctor who has none (i); L and I stand for any. Those of
-- the first criterion are in `licences` and `records` as well, if they are all known.
with matching as not materialized (
    select d.*, case $1 when 'name' then folded(d.name) end as text_key, case $1 when '_lastUpdated' then d.updated_at end as time_key
      from doctors d
     where ($6 is null or d.id = any ($6))
       and ($7 is null or $7[1] = '' or searched(d.name, d.email, d.phone, d.license_number, d.specialization) ~ replace(text_pattern($7[1]), '\ ', '.'))
       and ($7 is null or coalesce(folded(shown_name(d.name)) ~ all (array(select text_pattern(criterion) from unnest($7[2:]) as criterion)), false))
       and ($13 is null or coalesce(folded((name_parts(d.name, true))[2])
                                   ~ all (array(select text_pattern(criterion) from unnest($13) as criterion)), false))
       and ($14 is null or coalesce(folded(array_to_string((name_parts(d.name, true))[3:], E'\n'))
                                   ~ all (array(select text_pattern(criterion) from unnest($14) as criterion)), false))
       and ($15 is null
            or (select bool_and(string_to_array(substr(criterion, 3), E'\n')
                                && case left(criterion, 1) when 'n' then part when 'f' then part[2:2] else part[3:] end)
                  from name_parts(d.name, true) as part, unnest($15) as criterion))
       and ($8 is null
            or (searched(d.name, d.email, d.phone, d.license_number, d.specialization) ~ telecom_pattern($8[1])
                and coalesce((select bool_and(telecom_fits(d.phone, d.email, criterion)) from unnest($8) as criterion), false)))
       and ($17 is null or d.license_number = any ($17) or d.id = any ($18))
       and ($16 is null
            or coalesce((select bool_and(string_to_array(criterion, E'\n')
                                         && case when d.license_number is null then array['I', 'i' || d.id] else array['L', 'l' || d.license_number] end)
                           from unnest($16) as criterion), false))
       and ($9 is null or d.updated_at between $9[1] and $10[cardinality($10)])
       and ($9 is null or exists (select from unnest($9, $10) as range (start, stop) where d.updated_at >= start and d.updated_at < stop))
       and ($11 is null
            or (select bool_and(lower(shown_name(d.specialization)) = any (string_to_array(lower(criterion), E'\n'))) from unnest($11) as criterion))
)
select found.*, case when $12 then (select count(*) from matching) end as total
  from matching as found
 where $3 is null
    or case when $1 = 'name' then case when $2 then (text_key, id) < (folded($4), $3) else (text_key, id) > (folded($4), $3) end
            when $1 = '_lastUpdated' then case when $2 then (time_key, id) < ($4::timestamptz, $3) else (time_key, id) > ($4::timestamptz, $3) end
            when $2 then id < $3
            else id > $3
            end
 order by case when $2 then text_key end desc, case when not $2 then text_key end,
          case when $2 then time_key end desc, case when not $2 then time_key end,
          case when $2 then id end desc, id
 limit $5;
