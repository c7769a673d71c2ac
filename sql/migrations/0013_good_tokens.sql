-- The good refresh token of a session is found without reading all those that were used before it.

create index refresh_tokens_good_idx on refresh_tokens (session_id) where used_at is null and replaced_at is null;
