-- What searches of FHIR compare. `src/fhir/names.rs` splits a name the same way for those who read it.

-- A name as it is shown: white space that R4 does not allow is a space.
create function shown_name(text) returns text language sql immutable parallel safe return
    btrim(translate($1, U&'\FEFF\0085\00A0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200A\2028\2029\202F\205F\3000', repeat(' ', 20)));

-- The name as it is shown, its family, and then the given names. A doctor's titles are no names.
create function name_parts(name text, may_have_titles boolean) returns text[] language sql immutable parallel safe return (
    select array[name.shown, coalesce(nullif(split.family, ''), name.shown)]
           || array_remove(string_to_array(translate(split.given, ',', ' '), ' '), '')
      from (select shown_name($1) as shown) as name
     cross join lateral (
           select case when $2 then regexp_replace(one.spaced, '^((Dr\.|Prof\.)( |$))+', '') else one.spaced end as words
             from (select regexp_replace(name.shown, ' +', ' ', 'g') as spaced) as one) as rest
     cross join lateral (
           select case when rest.words like '%,%' then btrim(split_part(rest.words, ',', 1)) else substring(rest.words from '[^ ]*$') end as family,
                  case when rest.words like '%,%' then substr(rest.words, strpos(rest.words, ',') + 1)
                       else substring(rest.words from '^(.*) [^ ]*$') end as given) as split);

-- A criterion is a part (n name, f family, g given, a address), a mode (^ a word starts with it, * it stands anywhere, = it is the same),
-- and then texts, a line each, of which one must fit. This is its regular expression for a folded text. A text of which folding leaves
-- nothing fits nowhere.
create function text_pattern(criterion text) returns text language sql immutable parallel safe return
    case when substr($1, 2, 1) = '*' then '' else '(^|[^[:alnum:]])' end
    || '('
    || coalesce(nullif(array_to_string(array_remove(string_to_array(
           regexp_replace(folded(substr($1, 3)), '([^[:alnum:]\n])', '\\\1', 'g'), E'\n'), ''), '|'), ''), E'\x03')
    || ')';

-- Telephone numbers (p and digits) and e-mail addresses (e), a line each, of which one must be there: the regular expression for
-- candidates in `searched`, and whether one fits.
create function telecom_pattern(criterion text) returns text language sql immutable parallel safe return (
    select string_agg(case left(item, 1) when 'p' then E'\x02' || substr(item, 2)
                      else regexp_replace(folded(substr(item, 2)), '([^[:alnum:]])', '\\\1', 'g') end, '|')
      from unnest(string_to_array($1, E'\n')) as item);

create function telecom_fits(phone text, email text, criterion text) returns boolean language sql immutable parallel safe return
    string_to_array($3, E'\n') && array['p' || translate($1, translate($1, '0123456789', ''), ''), 'e' || lower($2)];

-- When somebody left a team.
create index record_versions_teams_idx on record_versions (patient_id, ended_at) where resource = 'mapping';
