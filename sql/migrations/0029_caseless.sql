-- A text as it is compared where case makes no difference and accents do, in one form of Unicode. Lower case can leave that form, so it is
-- made again.
create function caseless(text) returns text language sql immutable parallel safe return normalize(lower(normalize($1, NFKC)), NFKC);
