-- A period of the trail passes over the batches of the day before and the day after without reading them.
create index audit_batches_times_idx on audit_batches ((id + 0), (at[1]), (at[cardinality(at)]));

-- The regular expression of a text that is too short to have trigrams, but for those that it has at the start of a word; null for others.
-- Only what may stand before the word as single characters lets pg_trgm see that.
create function word_start(text) returns text language sql immutable parallel safe return
    case when char_length($1) < 3 and $1 ~ '^[[:alnum:]]'
         then E'(^|[ \n!-/:-@\\[-`{-~])' || regexp_replace(folded($1), '([^[:alnum:]])', '\\\1', 'g') end;
