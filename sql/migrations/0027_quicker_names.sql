-- Two functions of 0021_fhir_search.sql again, with the same results: searches and orders by the parts of a name look at every name that is
-- left, and spent most of their time here. ASCII, which most names are, has none of these characters.
create or replace function shown_name(text) returns text language sql immutable parallel safe return
    case when octet_length($1) = char_length($1) then btrim($1)
         else btrim(translate($1, U&'\FEFF\0085\00A0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200A\2028\2029\202F\205F\3000', repeat(' ', 20))) end;

-- A function in SQL that is more than an expression starts an executor for each call; this does not.
create or replace function name_parts(name text, may_have_titles boolean) returns text[] language plpgsql immutable parallel safe as $$
declare
    shown constant text := shown_name(name);
    words text := regexp_replace(shown, ' +', ' ', 'g');
    family text;
    given text;
begin
    if may_have_titles then
        words := regexp_replace(words, '^((Dr\.|Prof\.)( |$))+', '');
    end if;
    if words like '%,%' then
        family := btrim(split_part(words, ',', 1));
        given := translate(substr(words, strpos(words, ',')), ',', ' ');
    else
        family := substring(words from '[^ ]*$');
        given := left(words, -char_length(family));
    end if;
    return array[shown, coalesce(nullif(family, ''), shown)] || array_remove(string_to_array(given, ' '), '');
end
$$;

-- The version of a record that a delete ended, unless the record came back.
create function deletion_of(resource text, record_id bigint) returns setof record_versions language sql stable parallel safe rows 1 as $$
    select *
      from (select * from record_versions where resource = $1 and record_id = $2 order by version desc limit 1) as last
     where ended_by = 'delete'
$$;
