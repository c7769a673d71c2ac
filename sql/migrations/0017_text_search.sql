-- Text is compared, sorted and searched without case and accents: NFKD, without combining marks, in lower case. ASCII, which most text is,
-- needs the last step only. The marks are those of Latin, Greek, Cyrillic, Hebrew, Arabic and Japanese letters, and of symbols.
create function folded(text) returns text language sql immutable parallel safe return
    case when octet_length($1) = char_length($1) then lower($1)
         else lower(regexp_replace(normalize($1, NFKD), U&'[\0300-\036f\0483-\0487\0591-\05bd\05bf\05c1\05c2\05c4\05c5\05c7\0610-\061a\064b-\065f\0670\06d6-\06dc\06df-\06e4\06e7\06e8\06ea-\06ed\1ab0-\1aff\1dc0-\1dff\20d0-\20f0\3099\309a\fe20-\fe2f]', '', 'g')) end;

-- The pattern for `like` of any part of a folded text; `%`, `_` and `\` stand for themselves.
create function any_part(text) returns text language sql immutable parallel safe return
    '%' || regexp_replace(folded($1), '([\\%_])', '\\\1', 'g') || '%';

-- What `q` searches in a record: its texts, a line each, and last the digits of its telephone number behind a character that no text has.
-- An absent text adds no line.
create function searched(name text, email text, phone text, more text, still_more text) returns text language sql immutable parallel safe return
    folded(name || coalesce(E'\n' || email, '') || coalesce(E'\n' || more, '') || coalesce(E'\n' || still_more, '') || coalesce(E'\n' || phone, ''))
    || coalesce(E'\n\x02' || translate(phone, translate(phone, '0123456789', ''), ''), '');

-- The regular expression of one word of `q`. Without letters, it stands for the digits of a telephone number as well.
create function word_pattern(text) returns text language sql immutable parallel safe return
    regexp_replace(folded($1), '([^[:alnum:]])', '\\\1', 'g')
    || case when $1 !~ '[[:alpha:]]' and $1 ~ '[0-9]' then '|\x02.*' || translate($1, translate($1, '0123456789', ''), '') else '' end;

drop index patients_created_by_name_idx;
drop index doctors_name_id_idx;
create index patients_created_by_name_idx on patients (created_by, folded(name), id);
create index patients_created_by_updated_at_idx on patients (created_by, updated_at, id);
create index doctors_name_id_idx on doctors (folded(name), id);
create index doctors_updated_at_id_idx on doctors (updated_at, id);
-- An admin's lists of everybody's patients.
create index patients_name_id_idx on patients (folded(name), id);
create index patients_created_at_id_idx on patients (created_at, id);
create index patients_updated_at_id_idx on patients (updated_at, id);

-- One index of trigrams a table serves `q` and every filter of text, where the server has pg_trgm (0004_name_search.sql).
do $$
begin
    drop index if exists patients_name_idx, doctors_name_idx, doctors_specialization_idx, users_email_idx;
    create index patients_search_idx on patients using gin (searched(name, email, phone, null, null) gin_trgm_ops);
    create index doctors_search_idx on doctors using gin (searched(name, email, phone, license_number, specialization) gin_trgm_ops);
    create index users_search_idx on users using gin (searched(name, email, null, null, null) gin_trgm_ops);
exception
    when undefined_object then
        raise warning 'pg_trgm is not available: text filters read every row of their owner';
end
$$;
